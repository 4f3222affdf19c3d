import ArgumentParser
import CommandSupport
import FileFormats
import Foundation
import Reports
import SMT

struct CheckCommand: SupervisedCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract: "Replay a proof in exact arithmetic.",
    discussion: """
      The checker reads the network and the region file anew and evaluates every leaf of the proof with integers only; \
      it shares no code with the solver but the importers. It prints whether the proof is valid and, if not, where it \
      fails.
      """)

  @Option(help: ArgumentHelp("The proof, as 'nnverify smt --proof' writes it.", valueName: "file"))
  var proof: String

  @Option(help: ArgumentHelp("The region file that it proves.", valueName: "file"))
  var region: String

  @Flag(help: "Print a JSON object (the default when the output is no terminal).")
  var json = false

  @OptionGroup var limits: LimitOptions

  var printsJSON: Bool { json || isatty(STDOUT_FILENO) == 0 }

  func run(_ supervisor: Supervisor) throws {
    supervisor.ifStopped { [printsJSON] reason in
      if printsJSON {
        try printJSON(.partial(reason, [.init(key: "valid", value: .null)]))
      } else {
        print("unknown: \(reason.text) before the proof was replayed")
      }
    }
    let records = try RegionRecord.read(region)
    let verdict = try RegionSession().check(proof: proof, records: records)
    try supervisor.finish { show(verdict, records: records.count) }
  }

  private func show(_ verdict: ProofVerdict, records: Int) {
    if printsJSON {
      let object: JSONValue = [
        "valid": .bool(verdict.isValid), "place": verdict.place.map { .string($0) } ?? .null,
        "reason": verdict.reason.map { .string($0) } ?? .null, "nodes": JSONValue(verdict.nodes),
        "proofs": JSONValue(verdict.proofs), "records": JSONValue(records),
      ]
      print(object.text())
    } else if verdict.isValid {
      let count = records > 1 ? "\(verdict.proofs) of \(records) records proven, " : ""
      print("valid: \(count)\(verdict.nodes) nodes replayed")
    } else {
      print(VisibleText.line("invalid: \(verdict.place ?? "?"): \(verdict.reason ?? "")"))
    }
  }
}
