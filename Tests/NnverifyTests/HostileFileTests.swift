import FileFormats
import Foundation
import TestSupport
import Testing

private let isPresent = FileManager.default.fileExists(atPath: SharedData.path("field/README.md"))

/// Files that made earlier versions crash, hang or swell.
@Suite(.enabled(if: isPresent, Comment(rawValue: SharedData.comment)))
struct HostileFileTests {
  private func field(_ path: String) -> String { SharedData.path("field/" + path) }

  /// Runs a command that must end in one error within a second (two with the load of other tests).
  private func refuses(_ arguments: String..., sourceLocation: SourceLocation = #_sourceLocation) throws {
    let result = try nnverify.run(arguments)
    #expect(
      result.status == 2 || result.status == 3, "\(arguments): \(result.errors)",
      sourceLocation: sourceLocation)
    #expect(!result.crashed && result.seconds < 4, "\(result.seconds) s", sourceLocation: sourceLocation)
    #expect(
      result.errors.hasPrefix("Error: ") && result.errors.count < 1000 && result.output.isEmpty,
      "\(result.errors)", sourceLocation: sourceLocation)
  }

  @Test("HDF5: a heap that runs in circles, storage outside the file, chunks that are not there")
  func hdf5() throws {
    try refuses("run", field("d12-h5-heap-loop/k.h5"))
    for name in ["external", "chunk"] {
      try refuses(
        "run", field("d13-h5-external-file/\(name).h5"), "--input", field("d13-h5-external-file/i10.json"))
    }
  }

  @Test("FIFOs in place of a network, external data, an input, a query, a list, a store")
  func fifos() throws {
    let folder = try TemporaryFolder()
    let fifo = folder.path("fifo")
    try #require(mkfifo(fifo, 0o600) == 0)
    let model = try folder.write("m.onnx", RegularFile.contents(field("d14-onnx-external-fifo/fifo.onnx")))
    try refuses("run", model)
    try refuses("run", fifo)
    try refuses("inspect", fifo)
    try refuses("run", mlp, "--input", fifo)
    try refuses("bounds", mlp, "0.01", "--input", fifo)
    try refuses("verify", fifo, "--network", mlp)
    try refuses("batch", fifo, "--store", folder.path("s.sqlite"))
    try refuses("results", fifo)
    for ending in ["h5", "nnet", "safetensors"] {
      let path = folder.path("f." + ending)
      try #require(mkfifo(path, 0o600) == 0)
      try refuses("run", path)
    }
  }

  @Test("Queries: huge tensors, huge numbers and powers, one line")
  func queries() throws {
    let model = field("d15-vnnlib-huge-tensor/ok.onnx")
    for name in [
      "d15-vnnlib-huge-tensor/big1", "d15-vnnlib-huge-tensor/big2", "d17-vnnlib-products/pow",
      "d17-vnnlib-products/num",
    ] {
      try refuses("verify", field(name + ".vnnlib"), "--network", model)
    }
    try refuses("verify", field("d16-vnnlib-one-line/line2000.vnnlib"), "--network", model)
    let folder = try TemporaryFolder()
    let slow = try folder.write(
      "slow.vnnlib",
      "(declare-const X_0 Real)(declare-const Y_0 Real)(assert (>= Y_0 (+ "
        + String(repeating: "1e-20000 3e-19999 ", count: 200_000) + ")))")
    let result = try nnverify("verify", slow, "--network", model, "--timeout", "0.5")
    #expect(result.status == 0 && result.output == "timed-out\n", "\(result.errors)")
    #expect(result.seconds < 3)
  }

  @Test("Documents of some bytes that mean gigabytes, and of the other task")
  func documents() throws {
    try refuses("run", mlp, "--input", field("d19-json-amplification/amp.json.gz"))
    let gin = "networks/gin-ba2motifs.onnx"
    try refuses("explain", gin, field("d20-graph-5m-nodes/gg5m.json"), "--method", "occlusion")
    try refuses(
      "explain", SharedData.path("fidelity/onnx/gcn_ba_shapes_sparse.onnx"),
      field("d06-graph-task-mismatch/ba.json"), "--method", "occlusion")
  }

  @Test("A store with cells of other types")
  func store() throws {
    try refuses("results", field("d08-store-bad-cell/s.sqlite"))
  }

  @Test("Edge lists with CR LF have edges")
  func lineEnds() throws {
    let folder = try TemporaryFolder()
    let list = String(decoding: try RegularFile.contents(field("d18-crlf-edges/e.csv")), as: UTF8.self)
      .replacing("\r", with: "")
    var answers: [String] = []
    for end in ["\n", "\r\n"] {
      let result = try nnverify(
        "graph-certify", SharedData.path("fidelity/models/karate_gcn.safetensors"),
        try folder.write("e.csv", list.replacing("\n", with: end)), "--features",
        field("d18-crlf-edges/f.csv"),
        "--perturb", "features:0.001", "--node", "2", "--json")
      #expect(result.status == 0, "\(result.errors)")
      answers.append(result.output)
    }
    #expect(answers[0] == answers[1])
  }

  @Test("Long messages of a query's process, equal names in two folders, an edited query, two batches")
  func batch() throws {
    let folder = try TemporaryFolder()
    // A model whose error message is 300 KB long: its operator's name is.
    let long = try folder.write("long.onnx", Self.model(operatorName: String(repeating: "x", count: 300_000)))
    _ = try folder.write("q.vnnlib", RegularFile.contents(field("d24-batch-long-message/q.vnnlib")))
    let list = try folder.write("long.csv", "\(long),q.vnnlib,3\n")
    let blocked = try nnverify("batch", list, "--store", folder.path("long.sqlite"))
    #expect(blocked.output == "1 instances run: 1 error\n", "\(blocked.output)\(blocked.errors)")
    #expect(blocked.seconds < 3)

    let root = field("d25-batch-keys")
    let store = folder.path("c.sqlite")
    let both = try nnverify(
      "batch", root + "/a/fam/instances.csv", root + "/b/fam/instances.csv", "--store", store)
    #expect(both.output.hasPrefix("2 instances run"), "\(both.output)\(both.errors)")
    #expect(
      try nnverify("batch", root + "/a/fam/instances.csv", "--store", store).output.hasPrefix("0 instances"))
    let summary = try json("results", store)
    #expect(summary["instances"]?.arrayValue?.count == 2)

    // An edited query runs again and replaces its result.
    let fam = try TemporaryFolder()
    for name in ["n.onnx", "q.vnnlib", "instances.csv"] {
      _ = try fam.write(name, RegularFile.contents(root + "/a/fam/" + name))
    }
    let edited = folder.path("e.sqlite")
    for (count, query) in [("1 ", "a"), ("0 ", "a"), ("1 ", "b")] {
      _ = try fam.write("q.vnnlib", RegularFile.contents(root + "/\(query)/fam/q.vnnlib"))
      let result = try nnverify("batch", fam.path("instances.csv"), "--store", edited)
      #expect(result.output.hasPrefix(count + "instances run"), "\(result.output)\(result.errors)")
    }
    #expect(try json("results", edited)["instances"]?.arrayValue?.count == 1)
  }

  /// An ONNX model of one node.
  private static func model(operatorName: String) -> [UInt8] {
    func varint(_ value: Int) -> [UInt8] {
      value < 128 ? [UInt8(value)] : [UInt8(value & 127 | 128)] + varint(value >> 7)
    }
    func field(_ number: Int, _ content: [UInt8]) -> [UInt8] {
      varint(number << 3 | 2) + varint(content.count) + content
    }
    func value(_ name: String) -> [UInt8] {
      let shape = field(2, field(1, [8, 1]))
      return field(1, Array(name.utf8)) + field(2, field(1, [8, 1] + shape))
    }
    let node = field(1, Array("X".utf8)) + field(2, Array("Y".utf8)) + field(4, Array(operatorName.utf8))
    let graph = field(1, node) + field(2, Array("g".utf8)) + field(11, value("X")) + field(12, value("Y"))
    return [8, 8] + field(7, graph) + field(8, [16, 17])
  }
}
