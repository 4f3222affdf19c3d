import FileFormats
import Foundation
import TestSupport
import Testing

/// The folder of shared reference data, or nil where it is absent.
private func smtData() -> URL? {
  let url = SharedData.root.appendingPathComponent("smt")
  return FileManager.default.fileExists(atPath: url.path) ? url : nil
}

private let noData = Comment(rawValue: SharedData.comment)

@Suite struct WeightFileTests {
  @Test(.enabled(if: smtData() != nil, noData)) func readsKeras1Weights() throws {
    let path = try #require(smtData()).appendingPathComponent("dlv/mnist.h5").path
    try HDF5File.read(path) { file in
      let layers = try #require(try file.strings(attribute: "layer_names", of: ""))
      #expect(layers.first == "convolution2d_1" && layers.count == 12)
      let names = try #require(try file.strings(attribute: "weight_names", of: layers[0]))
      #expect(names.count == 2)
      let kernel = try file.dataset(layers[0] + "/" + names[0])
      #expect(kernel.shape == [32, 1, 3, 3] && kernel.values.allSatisfy { $0.isFinite && abs($0) < 10 })
      #expect(try file.strings(attribute: "absent", of: "") == nil)
      #expect(throws: FileError.self) { try file.dataset("nowhere/at/all") }
      #expect(throws: FileError.self) { try file.dataset(layers[0]) }
    }
  }

  @Test(.enabled(if: smtData() != nil, noData)) func readsKeras2Models() throws {
    let path = try #require(smtData()).appendingPathComponent("import/keras/cnn_max_mnist2.h5").path
    try HDF5File.read(path) { file in
      let config = try #require(try file.string(attribute: "model_config"))
      #expect(try JSONValue.parse(config)["class_name"]?.stringValue == "Sequential")
      #expect(try file.members(of: "model_weights").contains("conv2d_14"))
      let kernel = try file.dataset("model_weights/conv2d_14/conv2d_14/kernel:0")
      #expect(kernel.shape == [4, 4, 1, 8])
    }
  }

  @Test(.enabled(if: smtData() != nil, noData)) func damagedHDF5FilesAreRefused() throws {
    let path = try #require(smtData()).appendingPathComponent("import/keras/fc_2-2sigmoids-3.h5").path
    let bytes = try Data(contentsOf: URL(fileURLWithPath: path))
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let broken = folder.appendingPathComponent("broken.h5")
    for length in [0, 3, 100, bytes.count / 2, bytes.count - 1] {
      try bytes.prefix(length).write(to: broken)
      #expect(throws: FileError.self) { try HDF5File.read(broken.path) { _ = try $0.members(of: "") } }
    }
    #expect(throws: FileError.self) { try HDF5File.read(folder.path) { _ in } }
    #expect(throws: FileError.self) { try HDF5File.read("/nonexistent.h5") { _ in } }
  }

  @Test(.enabled(if: smtData() != nil, noData)) func readsMnistImages() throws {
    let folder = try #require(smtData()).appendingPathComponent("dlv")
    let images = try IdxFile(
      contentsOf: folder.appendingPathComponent("t10k-images-first500-idx3-ubyte.gz").path)
    let labels = try IdxFile(
      contentsOf: folder.appendingPathComponent("t10k-labels-first500-idx1-ubyte.gz").path)
    #expect(images.shape == [500, 28, 28] && labels.shape == [500])
    #expect((0..<5).map { labels.item($0)[0] } == [7, 2, 1, 0, 4])
    let first = images.item(0)
    #expect(first.count == 784 && first.max() == 255 && first.min() == 0)
  }

  @Test func idxHeadersAreChecked() throws {
    let good: [UInt8] = [0, 0, 0x0B, 2, 0, 0, 0, 2, 0, 0, 0, 1, 0xFF, 0xFE, 1, 0]
    let file = try IdxFile(good, file: "x")
    #expect(file.item(0) == [-2] && file.item(1) == [256])
    #expect(throws: FileError.self) { try IdxFile(Array(good.dropLast()), file: "x") }
    #expect(throws: FileError.self) { try IdxFile(good + [0], file: "x") }
    #expect(throws: FileError.self) { try IdxFile([0, 0, 7, 1, 0, 0, 0, 0], file: "x") }
    #expect(throws: FileError.self) { try IdxFile([0, 0, 8, 3, 0], file: "x") }
    let huge: [UInt8] = [0, 0, 8, 3] + [UInt8](repeating: 255, count: 12)
    #expect(throws: FileError.self) { try IdxFile(huge, file: "x") }
  }

  static let tiny = """
    // comment
    2,2,1,2,
    2,2,1,
    0,
    -1,-1,
    1,1,
    0.5,0,0,
    2,1,3,
    1.5,-2,
    0.1,1e-3,
    0.25,
    -1,
    1,1,
    7
    """

  @Test func readsNNetText() throws {
    let file = try NNetFile(Array(Self.tiny.utf8), file: "tiny.nnet")
    #expect(file.layerSizes == [2, 2, 1])
    #expect(file.layers[0].weights == [1.5, -2, 0.1, 1e-3] && file.layers[0].biases == [0.25, -1])
    #expect(file.inputMeans == [0.5, 0] && file.inputRanges == [2, 1] && file.outputRange == 3)
    #expect(file.layers[1].biases == [7])
  }

  @Test(arguments: [
    ("1.5,-2,\n", "1.5,-2,3,\n", "line 9"), ("0.25", "abc", "line 11"), ("0.25", "1e99", "line 11"),
    ("0.25", "nan", "line 11"),
    ("2,2,1,2,", "2,3,1,2,", "line 3"), ("2,2,1,2,", "200000000,3,1,2,", "line 2"),
    ("2,2,1,\n0", "2,1000000,1,\n0", "line 3"),
    ("2,1,3,", "2,0,3,", "line 8"), ("7", "7\n8", "line 15"), ("2,2,1,2,", "-1,2,1,2", "line 2"),
  ])
  func refusesBadNNetText(old: String, new: String, place: String) throws {
    let range = try #require(Self.tiny.range(of: old))
    let text = Self.tiny.replacingCharacters(in: range, with: new)
    #expect { try NNetFile(Array(text.utf8), file: "t") } throws: { ($0 as? FileError)?.place == place }
  }

  @Test func refusesTruncatedNNetText() {
    for length in 0..<(Self.tiny.utf8.count - 1) {
      #expect(throws: FileError.self) { try NNetFile(Array(Self.tiny.utf8.prefix(length)), file: "t") }
    }
  }

  @Test(.enabled(if: smtData() != nil, noData)) func readsAllSharedNNetFiles() throws {
    let folder = try #require(smtData()).appendingPathComponent("import/nnet")
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter {
      $0.hasSuffix(".nnet")
    }
    #expect(names.count == 12)
    for name in names {
      let file = try NNetFile(contentsOf: folder.appendingPathComponent(name).path)
      #expect(file.layerSizes.count > 2)
    }
  }
}
