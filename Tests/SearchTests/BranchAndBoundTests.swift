import Foundation
import IR
import Operators
import Rigor
import Search
import Specifications
import Tensors
import Testing

/// Branch and bound on small random networks whose extrema are known by exhaustive enumeration of a grid and of the
/// activation patterns' vertices.
@Suite struct BranchAndBoundTests {
  struct Network {
    var graph: Graph
    var weights: [[Double]]
    var biases: [[Double]]
    var sizes: [Int]

    let isSmooth: Bool

    init(
      _ sizes: [Int], _ random: inout some RandomNumberGenerator, isSmooth: Bool = false,
      type: ElementType = .float32
    ) throws {
      self.sizes = sizes
      self.isSmooth = isSmooth
      weights = []
      biases = []
      var builder = GraphBuilder()
      var x = builder.input("x", [sizes[0]], type: type)
      for k in 1..<sizes.count {
        let w = (0..<(sizes[k - 1] * sizes[k])).map { _ in
          Double(Int.random(in: -64...64, using: &random)) / 64
        }
        let b = (0..<sizes[k]).map { _ in Double(Int.random(in: -32...32, using: &random)) / 64 }
        weights.append(w)
        biases.append(b)
        let dense = Dense(Weight(Tensor([sizes[k - 1], sizes[k]], w)), inputShape: [sizes[k - 1]])
        x = try builder.linear(dense, x, bias: Weight(Tensor([sizes[k]], b)))
        if k < sizes.count - 1 { x = builder.elementwise(isSmooth ? Tanh() : Relu(), x) }
      }
      builder.output(x, name: "y")
      graph = builder.build()
    }

    /// In float64, exact here: the weights have few bits.
    func value(_ x: [Double]) -> [Double] {
      var x = x
      for k in 0..<weights.count {
        var y = biases[k]
        for i in x.indices { for j in y.indices { y[j] += x[i] * weights[k][i * y.count + j] } }
        x = k < weights.count - 1 ? y.map { isSmooth ? tanh($0) : max($0, 0) } : y
      }
      return x
    }
  }

  func query(_ network: Network, threshold: Double, relation: String = ">=", type: String = "real") throws
    -> Query
  {
    let n = network.sizes[0]
    var text =
      "(vnnlib-version <2.0>)\n(declare-network f (declare-input X \(type) [\(n)]) (declare-output Y \(type) [\(network.sizes.last ?? 1)]))\n"
    for j in 0..<n { text += "(assert (and (>= X[\(j)] -1.0) (<= X[\(j)] 1.0)))\n" }
    let decimal = Rational(threshold).decimalText ?? "0"
    text += "(assert (\(relation) Y[0] \(decimal.contains(".") ? decimal : decimal + ".0")))"
    return try Query(text: text)
  }

  func verify(_ network: Network, _ query: Query, threads: Int = 1, seconds: Double = 60) throws
    -> Verification
  {
    let control = SearchControl(seconds: seconds, threads: threads)
    return try Verifier(VerificationProblem(query, networks: ["f": network.graph]), control: control).run()
  }

  /// The largest output found on a fine grid and by local ascent from its best points.
  func largest(_ network: Network, steps: Int) -> Double {
    let n = network.sizes[0]
    var best = -Double.infinity
    var point = [Double](repeating: -1, count: n)
    func walk(_ j: Int) {
      if j == n {
        best = max(best, network.value(point)[0])
        return
      }
      for k in 0...steps {
        point[j] = -1 + 2 * Double(k) / Double(steps)
        walk(j + 1)
      }
    }
    walk(0)
    return best
  }

  @Test func inputSplittingFindsTheMaximum() throws {
    var random = SystemRandomNumberGenerator()
    for trial in 0..<8 {
      let network = try Network([2, 8, 8, 1], &random)
      let best = largest(network, steps: 64)
      // The grid's maximum is reached; the true one is within a grid cell's variation of it.
      let sat = try verify(network, query(network, threshold: best))
      #expect(sat.verdict == .sat, "trial \(trial): \(sat.reason)")
      #expect(sat.witness?.exact == .holds)
      let unsat = try verify(network, query(network, threshold: best + 0.5))
      #expect(unsat.verdict == .unsat, "trial \(trial): \(unsat.reason)")
    }
  }

  /// Networks evaluated in float64 have a rounding of their own; the weights are so short that it is none here.
  @Test func float64QueriesAreDecided() throws {
    var random = SystemRandomNumberGenerator()
    let network = try Network([2, 8, 8, 1], &random, type: .float64)
    let best = largest(network, steps: 64)
    let sat = try verify(network, query(network, threshold: best, type: "float64"))
    #expect(sat.verdict == .sat && sat.semantics == .float64, "\(sat.reason)")
    let unsat = try verify(network, query(network, threshold: best + 0.5, type: "float64"))
    #expect(unsat.verdict == .unsat && unsat.semantics == .float64, "\(unsat.reason)")
  }

  @Test func neuronSplittingFindsTheMaximum() throws {
    var random = SystemRandomNumberGenerator()
    for trial in 0..<4 {
      // Sixteen inputs: neurons are split. A linear ascent over corners is a lower bound of the maximum.
      let network = try Network([16, 10, 6, 1], &random)
      var best = -Double.infinity
      for _ in 0..<200 {
        var x = (0..<16).map { _ in Bool.random(using: &random) ? 1.0 : -1.0 }
        var value = network.value(x)[0]
        var improved = true
        while improved {
          improved = false
          for j in 0..<16 {
            x[j] = -x[j]
            let other = network.value(x)[0]
            if other > value {
              value = other
              improved = true
            } else {
              x[j] = -x[j]
            }
          }
        }
        best = max(best, value)
      }
      // A corner reaches `best` exactly, so a refutation would be wrong; far above, a witness would have to be one.
      let reached = try verify(network, query(network, threshold: best))
      #expect(reached.verdict != .unsat, "trial \(trial)")
      let above = try verify(network, query(network, threshold: best + 1))
      #expect(above.verdict != .sat || network.value(point(above))[0] >= best + 1)
      let below = try verify(network, query(network, threshold: best - 0.5))
      #expect(below.verdict == .sat, "trial \(trial): \(below.reason)")
    }
  }

  private func point(_ result: Verification) -> [Double] {
    result.witness?.input.map { $0.nearestDouble } ?? []
  }

  @Test func strictAndClosedBoundariesDiffer() throws {
    // y = relu(x0) + relu(-x0) + x1 has the maximum 2 at two corners.
    var builder = GraphBuilder()
    let x = builder.input("x", [2])
    let first = Dense(Weight(Tensor([2, 3], [1, -1, 0, 0, 0, 1])), inputShape: [2])
    let hidden = builder.elementwise(Relu(), try builder.linear(first, x))
    let last = Dense(Weight(Tensor([3, 1], [1, 1, 1])), inputShape: [3])
    builder.output(try builder.linear(last, hidden), name: "y")
    var random = SystemRandomNumberGenerator()
    var network = try Network([2, 3, 1], &random)
    network.graph = builder.build()
    let closed = try verify(network, query(network, threshold: 2, relation: ">="), seconds: 10)
    #expect(closed.verdict == .sat)
    let strict = try verify(network, query(network, threshold: 2, relation: ">"), seconds: 2)
    #expect(strict.verdict != .sat)
    let above = try verify(network, query(network, threshold: 2.001, relation: ">="), seconds: 10)
    #expect(above.verdict == .unsat)
  }

  @Test func threadsDoNotChangeTheSearch() throws {
    var random = SystemRandomNumberGenerator()
    let network = try Network([3, 16, 16, 1], &random)
    let best = largest(network, steps: 12)
    let query = try query(network, threshold: best + 0.2)
    let one = try verify(network, query, threads: 1)
    let two = try verify(network, query, threads: 2)
    #expect(one.verdict == two.verdict)
    #expect(one.statistics == two.statistics)
    #expect(one.witness?.input == two.witness?.input)
  }

  @Test func timeLimitsHold() throws {
    var random = SystemRandomNumberGenerator()
    let network = try Network([10, 60, 60, 60, 1], &random)
    // Far above what sampling finds and below what bounds give at once: the search runs until it is stopped.
    let start = ContinuousClock.now
    let result = try verify(network, query(network, threshold: 3), seconds: 0.5)
    let seconds = (ContinuousClock.now - start) / .seconds(1)
    if result.verdict == .timedOut { #expect(result.reason.contains("time limit")) }
    #expect(seconds < 30)
    let control = SearchControl(seconds: 1000)
    control.interrupt()
    let problem = try VerificationProblem(query(network, threshold: 3), networks: ["f": network.graph])
    let interrupted = try Verifier(problem, control: control).run()
    #expect(interrupted.verdict == .unknown || interrupted.verdict == .sat)
  }

  /// With more inputs than boxes are split over, smooth activations are split in the middle of their range. The threshold
  /// lies just above the largest value that ascent from many corners finds, where bounds at the root do not reach.
  @Test func smoothActivationsAreSplit() throws {
    var random = SystemRandomNumberGenerator()
    var splits = 0
    for _ in 0..<3 {
      let network = try Network([14, 6, 4, 1], &random, isSmooth: true)
      var best = -Double.infinity
      for _ in 0..<200 {
        var x = (0..<14).map { _ in Bool.random(using: &random) ? 1.0 : -1.0 }
        var value = network.value(x)[0]
        var moved = true
        while moved {
          moved = false
          for j in x.indices {
            var y = x
            y[j] = -y[j]
            let other = network.value(y)[0]
            if other > value { (x, value, moved) = (y, other, true) }
          }
        }
        best = max(best, value)
      }
      let above = (best + 0.05).rounded(toBits: 10)
      // A few seconds need not suffice to refute it; a witness would have to be a real one.
      let answer = try verify(network, query(network, threshold: above), seconds: 3)
      if answer.verdict == .sat { #expect(answer.witness != nil) }
      splits += answer.statistics.subproblems
      // What is reached is never refuted.
      let reached = (best - 0.01).rounded(toBits: 10)
      let other = try verify(network, query(network, threshold: reached), seconds: 3)
      #expect(other.verdict != .unsat)
    }
    #expect(splits > 0, "decided at the root, the splits were not tried")
  }
}

extension Double {
  /// A number with few binary places, so that its decimals are short.
  fileprivate func rounded(toBits bits: Int) -> Double {
    let scale = Double(1 << bits)
    return (self * scale).rounded() / scale
  }
}
