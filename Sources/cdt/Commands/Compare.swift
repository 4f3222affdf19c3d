import ArgumentParser
import Circuits
import CommandSupport
import FileFormats
import Reports

/// `cdt compare`: two saved circuits side by side.
struct Compare: SupervisedCommand {
  static let configuration = CommandConfiguration(abstract: "Compare two saved circuits.")

  @Argument(help: "The first circuit.") var first: String
  @Argument(help: "The second circuit.") var second: String
  @Option(help: ArgumentHelp("A file with the true nodes.", valueName: "file")) var truth: String?
  @Flag(help: "Print one JSON object instead of text.") var json = false

  @OptionGroup var limits: LimitOptions

  var printsJSON: Bool { json }

  mutating func run(_ supervisor: Supervisor) throws {
    let a = try CircuitDocument(path: first)
    let b = try CircuitDocument(path: second)
    let comparison = CircuitComparison(a, b)
    var scores: [(name: String, truth: TruthScore)] = []
    if let truth {
      for (name, document) in [(first, a), (second, b)] {
        let set = try TruthScore.read(
          truth, positions: document.positionNames, count: max(1, document.positions),
          byHead: document.unit == "head")
        let ranking = (document.scores.isEmpty ? document.nodes : document.scores).map {
          (unit: $0.unit, score: $0.score)
        }
        scores.append((name, TruthScore(circuit: document.nodes.map(\.unit), ranking: ranking, truth: set)))
      }
    }
    let error = max(a.conservationError, b.conservationError)
    try supervisor.finish { show(a, b, comparison, scores, error) }
  }

  private func show(
    _ a: CircuitDocument, _ b: CircuitDocument, _ comparison: CircuitComparison,
    _ scores: [(name: String, truth: TruthScore)], _ error: Double
  ) {
    if json {
      var object = JSONObject()
      object["size_a"] = .init(a.nodes.count)
      object["size_b"] = .init(b.nodes.count)
      object["common"] = .init(comparison.common)
      object["jaccard"] = .init(comparison.jaccard)
      object["rank_correlation"] = comparison.rankCorrelation.map { .init($0) } ?? .null
      object["faithfulness_a"] = a.faithfulness.map { .init($0) } ?? .null
      object["faithfulness_b"] = b.faithfulness.map { .init($0) } ?? .null
      if !scores.isEmpty {
        object["truth"] = .array(
          scores.map { score -> JSONValue in
            var entry = JSONObject()
            entry["circuit"] = .string(score.name)
            entry["recall"] = JSONValue(score.truth.recall)
            entry["precision"] = JSONValue(score.truth.precision)
            entry["auc"] = score.truth.auc.map { JSONValue($0) } ?? .null
            return .object(entry)
          })
      }
      object["conservation_error"] = .init(error)
      Output.print(json: .object(object))
    } else {
      let rows = [
        ["nodes", "\(a.nodes.count)", "\(b.nodes.count)"],
        ["F", Output.score(a.faithfulness), Output.score(b.faithfulness)],
      ]
      print(Output.table(["", first, second], rows, numeric: [1, 2]))
      print(
        "common nodes \(comparison.common), Jaccard index \(Output.score(comparison.jaccard)), "
          + "rank correlation \(Output.score(comparison.rankCorrelation))")
      for entry in scores {
        print(
          "\(VisibleText.line(entry.name)): recall \(Output.score(entry.truth.recall)), precision "
            + "\(Output.score(entry.truth.precision)), AUC \(Output.score(entry.truth.auc))")
      }
      print("conservation error \(Output.scientific(error)) (as saved)")
    }
  }
}
