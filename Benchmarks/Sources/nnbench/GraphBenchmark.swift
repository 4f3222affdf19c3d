import ArgumentParser
import Explanations
import Foundation
import Importers
import Reports

/// Times masked graph networks: forward passes, one robust fidelity, one complete enumeration.
struct GraphBenchmark: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "graphs", abstract: "Times fidelity of graph networks.",
    discussion: """
      All times are processor time inside this process, Float64: passes per second of processor time over random masks, \
      milliseconds for the fidelity of a graph (Fid+ exact, standard error of Fid- at most 0.002), seconds for \
      all subsets of the edges outside the explanation.
      """)

  @Option(help: "The folder of shared reference data.")
  var shared: String = ProcessInfo.processInfo.environment["NNVERIFY_SHARED"] ?? "../../shared"

  @Option(help: "Graphs to average the fidelity over.")
  var graphs = 20

  func run() throws {
    let folder = shared + "/fidelity"
    let data = try GraphDocument.read(folder + "/graphs/ba2motif.json")
    var table = TextTable([
      .init("network"), .init("passes/s", .right), .init("fidelity, ms", .right), .init("subsets", .right),
      .init("enumeration, s", .right),
    ])
    for name in ["gcn_ba2motif", "gin_ba2motif"] {
      let model = try GraphModelFile.load("\(folder)/models/\(name).safetensors", task: .graph)
      let passes = try passesPerSecond(model, data.graphs[0])
      let fidelity = try milliseconds(model, data)
      var options = FidelityOptions()
      options.plan = EstimationPlan(method: .exact)
      let graph = data.graphs[0]
      let start = Self.processorTime()
      let result = try FidelityEvaluator(model: model, classCount: model.classCount, options: options)
        .evaluate(
          ExplanationInstance(id: graph.id, graph: graph, label: graph.label), random: CounterRandom(seed: 1))
      let seconds = Self.processorTime() - start
      table.append([
        name, String(format: "%.0f", passes), String(format: "%.2f", fidelity),
        "2^\(result.otherCount)", String(format: "%.2f", seconds),
      ])
    }
    print(table.text)
  }

  private func passesPerSecond(_ model: any GraphModel, _ graph: AttributedGraph) throws -> Double {
    let network = try MaskedNetwork(
      model, graph: graph, semantics: .edgeWeight, classCount: model.classCount)
    let rows = 4096
    let random = CounterRandom(seed: 5)
    let factors = (0..<(rows * graph.edges.count)).map { random.uniform(at: UInt64($0)) < 0.5 ? 0.0 : 1.0 }
    _ = try network.logits(edgeFactors: factors, rows: rows)
    var least = Double.infinity
    for _ in 0..<20 {
      let start = Self.processorTime()
      _ = try network.logits(edgeFactors: factors, rows: rows)
      least = min(least, Self.processorTime() - start)
    }
    return Double(rows) / least
  }

  private func milliseconds(_ model: any GraphModel, _ data: GraphDataset) throws -> Double {
    let evaluator = FidelityEvaluator(
      model: model, classCount: model.classCount, options: FidelityOptions())
    let chosen = data.graphs.prefix(graphs)
    let start = Self.processorTime()
    for (index, graph) in chosen.enumerated() {
      _ = try evaluator.evaluate(
        ExplanationInstance(id: graph.id, graph: graph, label: graph.label),
        random: CounterRandom(seed: UInt64(index)))
    }
    return (Self.processorTime() - start) / Double(chosen.count) * 1e3
  }

  /// Seconds of processor time of all threads.
  private static func processorTime() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }
}
