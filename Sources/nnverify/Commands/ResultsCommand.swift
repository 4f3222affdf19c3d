import ArgumentParser
import CommandSupport
import FileFormats
import Foundation
import Reports
import Results

struct ResultsCommand: SupervisedCommand {
  static let configuration = CommandConfiguration(
    commandName: "results",
    abstract:
      "Summarises stores of results: a table per family, comparison with expected verdicts, a cactus plot.",
    discussion:
      "Several stores (of shards, say) are merged. Verdicts that contradict the expected ones are listed.")

  @Argument(help: "Stores that `nnverify batch` wrote.")
  var stores: [String]

  @Option(
    help: ArgumentHelp(
      "Expected verdicts: CSV with columns benchmark, onnx, vnnlib, verdict.", valueName: "file"))
  var expected: String?

  @Flag(help: "One row per instance, as CSV.")
  var csv = false

  @Flag(help: "JSON on standard output.")
  var json = false

  @OptionGroup var limits: LimitOptions

  var printsJSON: Bool { json }

  @Option(help: ArgumentHelp("Draw the cactus plot.", valueName: "file.svg"))
  var svg: String?

  func validate() throws {
    if stores.isEmpty { throw ValidationError("at least one store is needed") }
    if csv && json { throw ValidationError("choose one of --csv and --json") }
  }

  func run(_ supervisor: Supervisor) throws {
    let picture = try OutputFile(svg)
    for store in stores { InputFiles.current?.note(path: store) }
    try picture?.checkIsNoInput()
    let merged = MergedResults(
      try stores.map { try ResultStore(path: $0, create: false).results(withAnswers: false) })
    let verdicts = try expected.map { try ExpectedVerdicts(contentsOf: $0) }
    let summaries = FamilySummary.summaries(merged.results, expected: verdicts)
    let wrong = merged.results.filter { result in
      guard result.isDecided, let verdict = verdicts?[result.key] else { return false }
      return verdict != result.verdict
    }
    try supervisor.finish {
      try show(merged, summaries, wrong, verdicts)
      try picture?.write(CactusPlot(merged.results).svg())
    }
  }

  private func show(
    _ merged: MergedResults, _ summaries: [FamilySummary], _ wrong: [InstanceResult],
    _ verdicts: ExpectedVerdicts?
  ) throws {
    if csv {
      printRows(merged.results, verdicts)
    } else if json {
      try printJSON(document(summaries, wrong, merged))
    } else {
      printTable(summaries, verdicts != nil)
      for result in wrong {
        print(
          "WRONG: \(VisibleText.line(name(result.key))) is \(result.verdict), expected \(verdicts?[result.key] ?? "")"
        )
      }
      for key in merged.contradictions {
        print("CONTRADICTION between stores: \(VisibleText.line(name(key)))")
      }
    }
  }

  private func name(_ key: Instance.Key) -> String { "\(key.family) \(key.network) \(key.query)" }

  private func printTable(_ summaries: [FamilySummary], _ compares: Bool) {
    var columns: [TextTable.Column] = [.init("family")]
    for title in ["instances", "solved", "sat", "unsat", "unknown", "timed out", "errors"] {
      columns.append(.init(title, .right))
    }
    if compares {
      columns += [.init("expected", .right), .init("confirmed", .right), .init("wrong", .right)]
    }
    columns += [.init("total s", .right), .init("slowest solved s", .right)]
    var table = TextTable(columns)
    for family in summaries {
      var cells = [family.family]
      cells += [
        family.instances, family.solved, family.sat, family.unsat, family.unknown, family.timedOut,
        family.errors,
      ].map(String.init)
      if compares { cells += [family.expected, family.confirmed, family.wrong].map(String.init) }
      cells += [family.totalSeconds, family.slowestDecided].map { String(format: "%.1f", $0) }
      table.append(cells)
    }
    print(table.text)
  }

  private func printRows(_ results: [InstanceResult], _ verdicts: ExpectedVerdicts?) {
    // As the fields are, control characters included: this is read by programs.
    print("family,network,query,verdict,expected,seconds,limit,reason")
    for result in results {
      let fields = [
        result.key.family, result.key.network, result.key.query, result.verdict, verdicts?[result.key] ?? "",
        String(format: "%.3f", result.seconds), "\(result.limit)", result.reason,
      ]
      Swift.print(fields.map(MarkupText.csv).joined(separator: ","))
    }
  }

  private func document(_ summaries: [FamilySummary], _ wrong: [InstanceResult], _ merged: MergedResults)
    -> JSONValue
  {
    let families = summaries.map { family -> JSONValue in
      [
        "family": .string(family.family), "instances": JSONValue(family.instances),
        "solved": JSONValue(family.solved), "sat": JSONValue(family.sat), "unsat": JSONValue(family.unsat),
        "unknown": JSONValue(family.unknown), "timed_out": JSONValue(family.timedOut),
        "errors": JSONValue(family.errors), "expected": JSONValue(family.expected),
        "confirmed": JSONValue(family.confirmed), "wrong": JSONValue(family.wrong),
        "seconds": JSONValue(family.totalSeconds), "slowest_solved": JSONValue(family.slowestDecided),
      ]
    }
    let instances = merged.results.map { result -> JSONValue in
      [
        "family": .string(result.key.family), "network": .string(result.key.network),
        "query": .string(result.key.query), "verdict": .string(result.verdict),
        "seconds": JSONValue(result.seconds), "limit": JSONValue(result.limit),
        "reason": .string(result.reason),
      ]
    }
    return [
      "families": .array(families), "instances": .array(instances),
      "wrong": JSONValue(wrong.map { name($0.key) }),
      "contradictions": JSONValue(merged.contradictions.map(name)),
    ]
  }
}
