import Bounds
import CommandSupport
import Domains
import IR
import Limits
import Synchronization
import Tensors

/// The tightest bounds known so far, for when a limit comes.
final class PartialBounds: Sendable {
  private struct State {
    var best: BoundResult?
    var center: [Tensor<Double>] = []
  }

  private let state = Mutex(State())
  private let print: @Sendable (BoundResult, [Tensor<Double>], StopReason) throws -> Void

  /// - Parameter print: prints bounds that are not the method's last, and the outputs at the centre as far as known.
  init(print: @escaping @Sendable (BoundResult, [Tensor<Double>], StopReason) throws -> Void) {
    self.print = print
  }

  /// Takes the outputs at the centre.
  func center(_ values: [Tensor<Double>]) { state.withLock { $0.center = values } }

  /// Takes sound bounds, and has the supervisor print the tightest.
  func take(_ result: BoundResult, _ supervisor: Supervisor) {
    state.withLock { state in
      guard var known = state.best else {
        state.best = result
        return
      }
      for position in known.outputs.indices {
        known.outputs[position] = known.outputs[position].intersection(result.outputs[position])
      }
      known.method = result.method
      known.nodes = result.nodes
      known.graph = result.graph
      known.coefficients = result.coefficients
      state.best = known
    }
    supervisor.ifStopped { [self] reason in
      let (result, center) = state.withLock { ($0.best, $0.center) }
      if let result { try print(result, center, reason) }
    }
  }
}

extension BoundResult {
  /// What is known of every network.
  static func unbounded(_ graph: Graph, rows: OutputRows?) -> BoundResult {
    let shapes =
      rows.map { [Shape([1, $0.count])] } ?? graph.outputs.map { [1] + graph[$0.node].shape }
    return BoundResult(
      method: .ibp,
      outputs: shapes.map {
        Interval(
          lower: Tensor(repeating: -.infinity, $0), upper: Tensor(repeating: .infinity, $0))
      },
      nodes: graph.nodes.map { _ in nil }, graph: graph, coefficients: [])
  }
}
