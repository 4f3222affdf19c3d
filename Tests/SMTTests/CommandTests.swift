import FileFormats
import Foundation
import Rigor
import SMT
import TestSupport
import Testing

/// The `smt` and `check` commands, run as their users run them.
@Suite(.enabled(if: SharedRegions.folder != nil, SharedRegions.absent)) struct CommandTests {
  private let nnverify = Executable("nnverify")
  private let folder: TemporaryFolder
  private let data: String

  init() throws {
    folder = try TemporaryFolder()
    data = try #require(SharedRegions.folder)
  }

  /// A record of the shared data in a file of its own, with members replaced or, where nil, taken out.
  private func record(_ file: String, _ identifier: String, _ changes: [String: JSONValue?] = [:]) throws
    -> String
  {
    let lines = try JSONValue.parseLines(Gzip.contents(ofFile: data + "/" + file), file: file)
    var object = try #require(
      lines.first { $0.value["id"]?.stringValue == identifier }?.value.objectValue)
    for key in ["network", "images"] {
      if let path = object[key]?.stringValue { object[key] = .string(data + "/" + path) }
    }
    for (key, value) in changes { object[key] = value }
    return try folder.write(identifier + ".json", JSONValue.object(object).text())
  }

  private func answer(_ arguments: String..., sourceLocation: SourceLocation = #_sourceLocation) throws
    -> JSONValue
  {
    let result = try nnverify.run(["smt"] + arguments + ["--json"])
    #expect(result.status == 0, "\(arguments): \(result.errors)", sourceLocation: sourceLocation)
    return try JSONValue.parse(result.output)
  }

  @Test(arguments: ["curve-02", "curve-06"]) func z3AloneInItsOwnProcess(name: String) throws {
    for (suffix, verdict) in [("-in", "holds"), ("-out", "violated")] {
      let path = try record("exact_radius.jsonl", name + suffix)
      let reply = try answer(path, "--method", "exact", "--timeout", "20")
      #expect(reply["verdict"]?.stringValue == verdict, "\(name + suffix)")
    }
  }

  /// A hard query ends at its deadline, however long Z3 would take.
  @Test func deadlinesHold() throws {
    let path = try record("verdict_mnist.jsonl", "mnist-00")
    let result = try nnverify("smt", path, "--method", "exact", "--timeout", "1", "--json")
    #expect(result.status == 0 && result.seconds < 6, "\(result.seconds) s")
  }

  /// Exact linear programs over dozens of inputs stop too: without a limit these take minutes.
  @Test(arguments: ["digits-mlp", "digits-deep"]) func deadlinesHoldInExactPrograms(network: String) throws {
    let ones = (0..<64).map { $0 % 3 == 0 ? "1/2" : "1/4" }.map { "\"\($0)\"" }.joined(separator: ",")
    let zeros = Array(repeating: "0", count: 64).joined(separator: ",")
    let tops = Array(repeating: "1", count: 64).joined(separator: ",")
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().path
    let path = try folder.write(
      network + ".json",
      "{\"network\": \"\(root)/networks/\(network).onnx\", \"center\": [\(ones)], "
        + "\"input_domain\": {\"lower\": [\(zeros)], \"upper\": [\(tops)]}, \"property\": \"strict_argmax\"}")
    let result = try nnverify("smt", path, "--minimal", "--timeout", "1", "--json")
    #expect(result.status == 0 && result.seconds < 6, "\(result.seconds) s")
    let reply = try JSONValue.parse(result.output)
    #expect(reply["verdict"]?.stringValue == "unknown" && reply["minimal"] == .null)
    #expect(reply["upper_bound"]?.stringValue != nil && reply["reason"]?.stringValue == "time-out")
  }

  /// Layers of a large network are neither bounded nor composed beyond the deadline.
  @Test func deadlinesHoldAtInnerLayers() throws {
    let path = try record("lattice.jsonl", "lat-005")
    let result = try nnverify(
      "smt", path, "--layers", "5", "--manipulations", "1/2,2", "--dims", "3", "--timeout", "1", "--json")
    #expect(result.status == 0 && result.seconds < 12, "\(result.seconds) s")
  }

  @Test func multiPathSearchExploresATree() throws {
    let path = try record("lattice.jsonl", "grid-00", ["dims": .some(nil)])
    let single = try answer(path, "--layers", "0", "--features", "2", "--dims", "1")
    let multi = try answer(path, "--layers", "0", "--features", "2", "--dims", "1", "--search", "multi:3")
    #expect(single["features"]?.arrayValue?.count == 2)
    #expect(multi["features"]?.arrayValue?.count == 4)
    for reply in [single, multi] {
      // A budget that ends claims nothing; only a witness does.
      #expect(["exhausted_budget", "unsafe"].contains(reply["verdict"]?.stringValue))
      #expect(reply["lattice_points"]?.intValue == 11 * (reply["features"]?.arrayValue?.count ?? 0))
    }
    // At an inner layer the features of a path start from inputs that reach a point of the one before.
    let inner = try answer(
      path, "--layers", "2", "--features", "2", "--dims", "1", "--search", "multi:2", "--manipulations",
      "1/10,2")
    #expect((inner["features"]?.arrayValue?.count ?? 0) > 1)
    #expect(["exhausted_budget", "unsafe"].contains(inner["verdict"]?.stringValue))
  }

  @Test func stepwiseChecksEveryLayerUntilOneSettlesIt() throws {
    let safe = try record("lattice.jsonl", "grid-00")
    let first = try answer(safe, "--layers", "3", "--path", "stepwise", "--dims", "2")
    #expect(first["verdict"]?.stringValue == "safe_region" && first["layer"]?.intValue == 0)
    // One step of the lattice of a whole unit leaves the region; nothing is certified, so all layers are looked at.
    let wide = try record(
      "lattice.jsonl", "grid-00", ["span": .some("1/4"), "num_span": .some(2), "dims": .some([0])])
    let reply = try answer(wide, "--layers", "2", "--path", "stepwise", "--dims", "2")
    if let layers = reply["layers"]?.arrayValue {
      #expect(layers.compactMap { $0["layer"]?.intValue } == Array(0..<layers.count))
      #expect(layers.last?["verdict"] == reply["verdict"])
    } else {
      #expect(["safe_region", "unsafe"].contains(reply["verdict"]?.stringValue))
    }
  }

  /// Whatever is called unsafe at an inner layer has a witness that the network itself classifies differently.
  @Test(arguments: ["exact", "layerwise"], ["activation", "derivative"])
  func innerLayersAreNeverWronglyUnsafe(inverse: String, heuristic: String) throws {
    let path = try record("lattice.jsonl", "grid-01")
    let session = RegionSession()
    var outcomes = Set<String>()
    for layer in ["1", "2"] {
      for size in ["1/5,4", "1/2,4"] {
        let reply = try answer(
          path, "--layers", layer, "--dims", "3", "--manipulations", size, "--inverse", inverse,
          "--heuristic",
          heuristic)
        let verdict = try #require(reply["verdict"]?.stringValue)
        outcomes.insert(verdict)
        let points = try #require(reply["lattice_points"]?.intValue)
        let bad = try #require(reply["misclassified_points"]?.intValue)
        let unreachable = try #require(reply["unreachable_points"]?.intValue)
        #expect(bad <= points && unreachable <= bad)
        if verdict == "safe_wrt_manipulations" { #expect(bad == unreachable) }
        if inverse == "layerwise" { #expect(unreachable == 0) }
        if verdict == "unsafe" {
          // The same point as a region of its own must violate the classification, exactly.
          let witness = try #require(reply["witness"])
          let point = try record(
            "lattice.jsonl", "grid-01",
            [
              "kind": .some(nil), "span": .some(nil), "dims": .some(nil),
              "region": .some(["lower": witness, "upper": witness]), "property": .some("strict_argmax"),
            ])
          let check = try session.decide(RegionRecord.read(point)[0], SolverOptions())
          #expect(check.verdict == "violated")
        }
      }
    }
    #expect(!outcomes.isEmpty && outcomes.isSubset(of: ["unsafe", "safe_wrt_manipulations", "heuristic"]))
  }

  @Test func picturesOfPlanesAndImages() throws {
    for (name, marks) in [
      ("grid-01", ["<circle", "<line"]), ("lat-004", ["original", "manipulated", "difference"]),
    ] {
      let path = try record("lattice.jsonl", name)
      let svg = folder.path(name + ".svg")
      let png = folder.path(name + ".png")
      _ = try answer(path, "--picture", svg)
      let text = try String(contentsOfFile: svg, encoding: .utf8)
      #expect(text.hasPrefix("<svg") && text.hasSuffix("</svg>\n"))
      for mark in marks { #expect(text.contains(mark), "\(name): \(mark)") }
      _ = try answer(path, "--picture", png)
      let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: png)))
      #expect(Array(bytes.prefix(8)) == [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A])
      // Width and height of the header.
      #expect(bytes.count > 500 && bytes[16..<20].contains { $0 > 0 } && bytes[20..<24].contains { $0 > 0 })
    }
  }

  /// The hardest of the small benchmark networks, with certificates that the checker accepts.
  @Test(
    .enabled(if: FileManager.default.fileExists(atPath: SharedData.path("verification/benchmarks/acasxu"))))
  func acasXuPropertiesHaveProofs() throws {
    let networks = SharedData.path("verification/benchmarks/acasxu/onnx")
    let terms: [String] = (1...4).map { "{\"coeffs\": {\"0\": 1, \"\($0)\": -1}, \"rhs\": 0}" }
    func line(_ name: String, _ lower: String, _ upper: String) -> String {
      "{\"id\": \"\(name)\", \"network\": \"\(networks)/ACASXU_run2a_\(name)_batch_2000.onnx\", "
        + "\"region\": {\"lower\": [\(lower)], \"upper\": [\(upper)]}, "
        + "\"violation\": [[\(terms.joined(separator: ", "))]]}\n"
    }
    // Property 3.
    let lower = "-0.303531156, -0.009549297, 0.493380324, 0.3, 0.3"
    let upper = "-0.298552812, 0.009549297, 0.5, 0.5, 0.5"
    let regions = try folder.write(
      "acas.jsonl", ["1_1", "2_1", "5_1"].map { line($0, lower, upper) }.joined())
    let proof = folder.path("acas.proof")
    let solved = try nnverify("smt", regions, "--timeout", "60", "--proof", proof, "--json")
    #expect(solved.output.split(separator: "\n").count { $0.contains("\"verdict\":\"holds\"") } == 3)
    let checked = try JSONValue.parse(try nnverify("check", "--proof", proof, "--region", regions).output)
    #expect(checked["valid"] == true && checked["proofs"]?.intValue == 3, "\(checked.text())")
  }

  // MARK: Mistakes

  private static let curve = "dlv/twodcurve_mlp.onnx"

  @Test(arguments: [
    (
      #""region": {"lower": [1, 2], "upper": [2, 3]}, "propery": "strict_argmax", "label": 1"#, "did you mean"
    ),
    (
      #""region": {"lower": [1, 2], "upper": [2, 3]}, "property": "strict_argmux", "label": 1"#,
      "strict_argmux"
    ),
    (
      #""region": {"lower": [1, 2, 3], "upper": [2, 3, 4]}, "property": "strict_argmax", "label": 1"#,
      "3 coordinates"
    ),
    (#""region": {"lower": [1, 2], "upper": [2, 3]}, "property": "strict_argmax", "label": 7"#, "label"),
    (
      #""region": {"lower": [1, 2], "upper": [2, 1e400]}, "property": "strict_argmax", "label": 1"#, "float32"
    ),
    (#""region": {"lower": [1, 2], "upper": [2, 1e40000000]}, "label": 1"#, "not a number"),
    (#""center": [1, 2], "span": 1, "num_span": 1000000000"#, "num_span"),
    (#""center": [1, 2], "span": 1, "dims": [0, 4000000]"#, "dims"),
    (#""center": [1, 2], "span": 1, "layer": {}"#, "layer"),
    (#""center": [1, 2], "eps": -1, "property": "strict_argmax", "label": 1"#, "eps"),
    (
      #""region": {"lower": [1, 2], "upper": [2, 3]}, "violation": [[{"coeffs": {"9": 1}, "rhs": 0}]]"#,
      "output 9"
    ),
    (#""images": "nowhere.gz", "image_index": 3, "eps": "1/100""#, "nowhere.gz"),
  ])
  func malformedRecordsAreExplained(members: String, word: String) throws {
    let path = try folder.write("r.json", "{\"network\": \"\(data)/\(Self.curve)\", \(members)}")
    let result = try nnverify("smt", path)
    #expect(result.status == 2 && !result.crashed && result.seconds < 5)
    #expect(result.errors.contains(word) && result.output.isEmpty, "\(result.errors)")
  }

  @Test(arguments: ["", "[]", "{", "3", "\"x\"", String(repeating: "[", count: 100_000)])
  func malformedFilesAreRefused(text: String) throws {
    let path = try folder.write("r.json", text)
    let result = try nnverify("smt", path)
    #expect(result.status == 2 && !result.crashed && !result.errors.isEmpty)
  }

  /// The largest boxes that are inputs at all end in an answer.
  @Test func absurdRegionsEndInAnAnswer() throws {
    let path = try folder.write(
      "r.json",
      "{\"network\": \"\(data)/\(Self.curve)\", \"region\": {\"lower\": [-1e38, -1e38], \"upper\": [1e38, 1e38]}, "
        + "\"property\": \"strict_argmax\", \"label\": 1}")
    let reply = try answer(path, "--timeout", "10")
    #expect(["violated", "unknown"].contains(reply["verdict"]?.stringValue))
  }
}
