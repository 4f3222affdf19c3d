import FileFormats
import Foundation
import TestSupport
import Testing

private let model = "networks/gin-ba2motifs.onnx"
private let graphs = "networks/gin-ba2motifs.graphs.json"

/// A file that lives as long as the value.
private final class Scratch {
  let path: String

  init(_ text: String, _ suffix: String = ".json") throws {
    path = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString + suffix).path
    try Data(text.utf8).write(to: URL(fileURLWithPath: path))
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }
}

private func document(edges: String, explanation: String = "01", nodes: Int = 14, value: String = "0.1")
  -> String
{
  """
  {"dataset": "t", "task": "graph", "num_classes": 2, "features": {"kind": "constant", "value": \(value), "dim": 4},
   "graphs": [{"id": "a", "num_nodes": \(nodes), "label": 1, "edges": \(edges), "explanation": "\(explanation)"}]}
  """
}

@Suite("Commands on graph networks")
struct GraphCommandTests {
  @Test("Fidelity names its semantics, method, evaluations, error and seed")
  func fidelity() throws {
    let result = try json("fidelity", model, graphs, "--per-class", "--seed", "3")
    #expect(result["semantics"]?.stringValue == "edge-weight")
    #expect(result["seed"]?.doubleValue == 3)
    let instances = try #require(result["instances"]?.arrayValue)
    #expect(instances.count == 43)
    for item in instances {
      for name in ["plus", "minus"] {
        let term = try #require(item[name])
        #expect(term["method"]?.stringValue == "exact")
        #expect(term["standard_error"]?.doubleValue == 0)
        #expect((term["prob"]?.doubleValue ?? .nan).isFinite)
      }
    }
    #expect(result["mean"] != nil && result["per_class"] != nil)
  }

  @Test("The same seed gives the same output", arguments: ["shapley", "gnnexplainer", "random"])
  func reproducible(_ method: String) throws {
    let options = [
      "explain", model, graphs, "--method", method, "--samples", "60", "--epochs", "3", "--json",
    ]
    let first = try nnverify.run(options)
    #expect(first.status == 0, "\(first.errors)")
    #expect(try nnverify.run(options).output == first.output)
  }

  @Test(
    "Every explainer runs on the shipped network",
    arguments: ["occlusion", "shapley", "banzhaf", "gradient", "gnnexplainer", "pgexplainer", "random"])
  func explainers(_ method: String) throws {
    let scores = try Scratch("")
    let picture = try Scratch("", ".svg")
    let result = try nnverify.run([
      "explain", model, graphs, "--method", method, "--samples", "40", "--epochs", "2", "-o", scores.path,
      "--picture", picture.path,
    ])
    #expect(result.status == 0, "\(result.errors)")
    let file = try JSONValue.parse(contentsOf: scores.path)
    #expect(file["items"]?.arrayValue?.count == 43)
    #expect(try String(contentsOfFile: picture.path, encoding: .utf8).hasPrefix("<svg"))
    // What explain writes, fidelity reads.
    let again = try nnverify.run(["fidelity", model, graphs, scores.path, "--select", "top:5"])
    #expect(again.status == 0, "\(again.errors)")
  }

  @Test("Every kind of mask", arguments: ["edge-weight", "message", "remove", "feature-zero"])
  func semantics(_ name: String) throws {
    let result = try nnverify.run(["fidelity", model, graphs, "--semantics", name])
    #expect(result.status == 0 && result.output.contains(name), "\(result.errors)")
  }

  @Test(
    "Certificates by every method",
    arguments: [
      ("features:0.01", "ibp"), ("features:0.01", "crown"), ("features:0.01", "alpha"),
      ("features:0.01", "bab"),
      ("edges:1", "ibp"), ("edges:1", "crown"), ("edges:1", "alpha"), ("edges:1", "bab"),
      ("edges:1", "enumerate"),
      ("edges:1", "smt"),
    ])
  func certificates(_ perturbation: String, _ method: String) throws {
    let result = try json("graph-certify", model, graphs, "--perturb", perturbation, "--method", method)
    #expect(result["method"]?.stringValue == method)
    let nodes = try #require(result["nodes"]?.arrayValue)
    #expect(nodes.count == 1 && nodes[0]["verdict"]?.stringValue != nil)
  }

  @Test("Inapplicable requests say so")
  func inapplicable() throws {
    let continuous = try nnverify.run(
      ["graph-certify", model, graphs, "--perturb", "features:0.1", "--method", "enumerate"])
    #expect(continuous.status == 2 && continuous.errors.contains("enumerate"))
    let many = try nnverify.run(["graph-certify", model, graphs, "--perturb", "edges:-1"])
    #expect(many.status == 1)
  }

  @Test(
    "Wrong graphs end in one clear error",
    arguments: [
      (document(edges: "[[0, 1], [1, 77]]"), "node 77 does not exist"),
      (document(edges: "[[0, 1], [0, 1]]"), "twice"),
      (document(edges: "[[0, 1], [1, 0]]"), "both directions"),
      (document(edges: "[[1, 0], [1, 2]]"), "directed"), (document(edges: "[[0, 1], [1, 1]]"), "self-loop"),
      (document(edges: "[[0, 1], [1, 2]]", explanation: "1"), "belongs to another graph"),
      (document(edges: "[[0, 1], [1, 2]]", value: "NaN"), "expected a JSON value"),
      (document(edges: "[[0, 1], [1, 2]]", value: "1e999"), "expected a number"),
      (document(edges: "[[0, 1], [1, 2]]", nodes: 0), "no sensible number"),
      ("{\"dataset\": \"t\"", "unexpected end"),
      (document(edges: "[[0, 1], [1, 2]]").replacing("\"dim\": 4", with: "\"dim\": 3"), "features"),
    ])
  func wrongGraphs(_ text: String, _ reason: String) throws {
    let file = try Scratch(text)
    for command in [
      ["fidelity"], ["explain", "--method", "occlusion"], ["graph-certify", "--perturb", "edges:1"],
    ] {
      let result = try nnverify.run([command[0], model, file.path] + command.dropFirst())
      #expect(result.status == 2, "\(command): \(result.errors)")
      #expect(result.errors.contains(reason) && result.errors.contains(file.path), "\(result.errors)")
      #expect(result.output.isEmpty)
    }
  }

  @Test(
    "Wrong scores end in one clear error",
    arguments: [
      ("{\"items\": [{\"id\": \"zz\", \"scores\": [1, 0]}]}", "other graphs"),
      ("{\"items\": [{\"id\": \"a\", \"scores\": [1, 0, 1]}]}", "another graph"),
      ("{\"items\": [{\"id\": \"a\", \"scores\": [1, NaN]}]}", "expected a JSON value"),
      ("{\"items\": [{\"id\": \"a\", \"scores\": [1, \"x\"]}]}", "expected a number"),
      ("{\"items\": []}", "no scores"), ("{}", "missing"),
    ])
  func wrongScores(_ text: String, _ reason: String) throws {
    let data = try Scratch(document(edges: "[[0, 1], [1, 2]]"))
    let file = try Scratch(text)
    let result = try nnverify.run(["fidelity", model, data.path, file.path])
    #expect(result.status == 2 && result.errors.contains(reason), "\(result.errors)")
  }

  @Test("Empty explanations and graphs without edges have defined values")
  func empty() throws {
    for (edges, flags) in [("[[0, 1], [1, 2]]", "00"), ("[]", "")] {
      let data = try Scratch(document(edges: edges, explanation: flags))
      let result = try nnverify.run(["fidelity", model, data.path, "--json"])
      #expect(result.status == 0, "\(result.errors)")
      #expect(!result.output.lowercased().contains("nan"))
      let item = try #require(JSONValue.parse(result.output)["instances"]?[0])
      #expect(item["plus"]?["prob"]?.doubleValue == 0)
    }
  }

  @Test("Scores outside 0...1 give no silent NaN")
  func wildScores() throws {
    let data = try Scratch(document(edges: "[[0, 1], [1, 2]]"))
    let file = try Scratch("{\"items\": [{\"id\": \"a\", \"scores\": [-30, 50]}]}")
    let result = try nnverify.run(["fidelity", model, data.path, file.path, "--json"])
    #expect(result.status == 0, "\(result.errors)")
    #expect(!result.output.lowercased().contains("nan"))
  }
}
