import ArgumentParser
import CommandSupport
import FileFormats
import IR
import Importers
import Reports

/// Runs the official ONNX node tests. For people who work on the importer, so it is not listed.
struct ConformanceCommand: SupervisedCommand {
  static let configuration = CommandConfiguration(
    commandName: "conformance",
    abstract: "Run the ONNX backend node tests that Tests/Conformance/write_node_cases.py wrote to a folder.",
    discussion: """
      A case passes, is refused as unsupported, is answered wrongly, or fails to import. The exit status is 4 if any \
      is answered wrongly or fails.
      """,
    shouldDisplay: false)

  @Argument(help: "The folder with index.json.", completion: .directory)
  var folder: String

  @Option(help: ArgumentHelp("Only cases whose names contain this.", valueName: "text"))
  var only: String?

  @Flag(help: "List every case that did not pass, with the reason.")
  var reasons = false

  @Flag(help: "JSON on standard output.")
  var json = false

  @OptionGroup var limits: LimitOptions

  var printsJSON: Bool { json }

  func run(_ supervisor: Supervisor) throws {
    let report = try NodeConformance.run(folder: folder) { name in only.map { name.contains($0) } ?? true }
    try supervisor.finish { try show(report) }
    let bad = report.wrong + report.failed
    if bad > 0 {
      throw FailedCheck(check: "ONNX node tests", reason: "\(bad) cases are answered wrongly or fail")
    }
  }

  private func show(_ report: NodeConformance.Report) throws {
    if json {
      try printJSON(document(report))
    } else {
      var table = TextTable([
        .init("operator"), .init("passed", .right), .init("refused", .right), .init("wrong", .right),
        .init("failed", .right),
      ])
      for row in report.byOperator {
        table.append([
          row.name, String(row.passed), String(row.refused), String(row.wrong), String(row.failed),
        ])
      }
      print(table.text)
      print("")
      if reasons {
        for item in report.cases {
          if let reason = text(item.outcome) { print("\(item.name): \(reason)") }
        }
      }
      print(
        "\(report.cases.count) cases: \(report.passed) passed, \(report.refused) refused, "
          + "\(report.wrong) wrong, \(report.failed) failed")
    }
  }

  private func text(_ outcome: NodeConformance.Outcome) -> String? {
    switch outcome {
    case .passed: nil
    case .refused(let reason): "refused: \(reason)"
    case .wrong(let reason): "wrong: \(reason)"
    case .failed(let reason): "failed: \(reason)"
    }
  }

  private func document(_ report: NodeConformance.Report) -> JSONValue {
    let operators = report.byOperator.map { row -> JSONObject.Entry in
      let counts: JSONValue = [
        "passed": JSONValue(row.passed), "refused": JSONValue(row.refused), "wrong": JSONValue(row.wrong),
        "failed": JSONValue(row.failed),
      ]
      return .init(key: row.name, value: counts)
    }
    return [
      "cases": JSONValue(report.cases.count), "passed": JSONValue(report.passed),
      "refused": JSONValue(report.refused), "wrong": JSONValue(report.wrong),
      "failed": JSONValue(report.failed), "operators": .object(JSONObject(operators)),
    ]
  }
}
