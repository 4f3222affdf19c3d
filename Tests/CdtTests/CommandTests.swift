import FileFormats
import Foundation
import TestSupport
import Testing

let cdt = Executable("cdt")

/// A model and what its commands take.
struct Subject: Sendable, CustomTestStringConvertible {
  var name: String
  var model: String
  /// Of single texts.
  var text: [String]
  /// Of groups of prompts.
  var prompts: [String]
  var testDescription: String { name }

  static let shipped = [
    Subject(
      name: "indirect-object", model: "networks/indirect-object",
      text: ["--text", "Then Mary and John went to the store . John gave a drink to"],
      prompts: ["--prompts", "networks/indirect-object/prompts.jsonl", "--limit", "4"]),
    Subject(
      name: "film-sentiment", model: "networks/film-sentiment",
      text: ["--text", "the acting is not bad , but the film is dull ."],
      prompts: ["--text", "the acting is not bad , but the film is dull ."]),
    Subject(
      name: "digits-transformer", model: "networks/digits-transformer.onnx",
      text: ["--input", "networks/digits-transformer.input.json"],
      prompts: ["--input", "networks/digits-transformer.input.json"]),
  ]

  /// The models of the shared data; none where it is absent.
  static var shared: [Subject] {
    guard SharedData.isPresent else { return [] }
    func model(_ name: String) -> String { SharedData.path("circuits/models/\(name)") }
    func group(_ name: String, _ group: String, _ more: String...) -> Subject {
      let path = SharedData.path("circuits/prompts/\(name)/\(group).jsonl")
      return Subject(
        name: name, model: model(name), text: ["--ids", "1,2,3,4"],
        prompts: ["--prompts", path, "--limit", "4"] + more)
    }
    let ids = ["--ids", "4651,3828,5014,375"]
    return [
      group("truth-induction", "truth-induction-k2"), group("induction-2l", "repeat-p9-k3"),
      group("ioi-4l", "ioi-went-ABBA"), group("gt-2l", "greater-than-a"),
      group("bert-sent-3l", "sentiment-a", "--length", "13"),
      Subject(name: "sst2-transformer-1l", model: model("sst2-transformer-1l"), text: ids, prompts: ids),
    ]
  }
}

/// Runs a command with `--json` and reads what it prints.
func json(_ arguments: [String], sourceLocation: SourceLocation = #_sourceLocation) throws -> JSONValue {
  let result = try cdt.run(arguments + ["--json"])
  try #require(
    result.status == 0, "\(arguments.joined(separator: " ")): \(result.errors)",
    sourceLocation: sourceLocation)
  return try JSONValue.parse(result.output)
}

@Suite struct CommandTests {
  /// Every command on every model, for people and for machines; every document carries the conservation error.
  @Test(arguments: Subject.shipped + Subject.shared) func everyCommand(_ subject: Subject) throws {
    let folder = try TemporaryFolder()
    let circuit = folder.path("c.json")
    let commands: [[String]] = [
      ["inspect", subject.model], ["run", subject.model] + subject.text,
      ["attribute", subject.model] + subject.text,
      ["attribute", subject.model, "--unit", "hierarchical", "--svg", folder.path("a.svg")] + subject.text,
      ["decompose", subject.model] + subject.prompts,
      ["decompose", subject.model, "--source", "0.1.0+0.2.0", "--targets", "0.1.1", "--read", "k", "--raw"]
        + subject.prompts,
      ["circuits", subject.model, "--random", "2", "-o", circuit, "--html", folder.path("c.html")]
        + subject.prompts,
      ["circuits", subject.model, "--unit", "head", "--select", "top:2", "--random", "0"] + subject.prompts,
      ["faithfulness", subject.model, "--circuit", circuit, "--random", "2"] + subject.prompts,
      ["compare", circuit, circuit], ["graph", circuit],
    ]
    for command in commands {
      let error = try json(command)["conservation_error"]?.doubleValue
      #expect((error ?? .nan) <= 1e-10, "\(command)")
      let result = try cdt.run(command)
      #expect(result.status == 0 && !result.output.isEmpty, "\(command): \(result.errors)")
    }
    for method in ["ablation", "path", "attribution", "random"] {
      _ = try json(["circuits", subject.model, "--method", method, "--random", "0"] + subject.prompts)
    }
    for format in ["svg", "dot", "html"] {
      #expect(try cdt("graph", circuit, "--format", format).output.count > 200)
    }
  }

  @Test func baselinesAreReadBack() throws {
    let folder = try TemporaryFolder()
    let model = Subject.shipped[0].model
    let prompts = ["--prompts", model + "/prompts.jsonl"]
    let computed = try json(["decompose", model, "--source", "2.14.2"] + prompts)
    for file in ["b.json", "b.safetensors"] {
      let path = folder.path(file)
      #expect(try json(["baseline", model, "-o", path] + prompts)["prompts"] == 20)
      let given = try json(["decompose", model, "--source", "2.14.2", "--baseline", path] + prompts)
      #expect(given["beta_metric"] == computed["beta_metric"])
    }
  }

  @Test func pathsIntoOneHead() throws {
    let subject = Subject.shipped[0]
    let paths =
      ["circuits", subject.model, "--method", "path", "--random", "0", "--to", "2.14.2"] + subject.prompts
    let all = try json(paths)
    #expect(all["nodes"]?.arrayValue?.count == 10)
    #expect(all["settings"]?["receiver"] == "2.14.2:qkv")
    let keys = try json(paths + ["--into", "k"])
    #expect(keys["settings"]?["receiver"] == "2.14.2:k" && keys["scores"] != all["scores"])
    // Nothing of the receiver's layer or after it sends anything.
    for node in try #require(all["scores"]?.arrayValue) where (node["layer"]?.intValue ?? 0) >= 2 {
      #expect(node["score"]?.doubleValue == 0)
    }
    #expect(try cdt.run(["circuits", subject.model, "--to", "2.14.2"] + subject.prompts).status == 1)
  }

  @Test func threadsDoNotChangeADigit() throws {
    let subject = Subject.shipped[0]
    let command = ["circuits", subject.model, "--random", "3"] + subject.prompts
    #expect(try json(command + ["--threads", "1"]) == json(command + ["--threads", "2"]))
  }
}
