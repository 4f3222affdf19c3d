import FileFormats
import Foundation
import TestSupport
import Testing

/// Files that h5py wrote (write_hdf5_cases.py): every data set holds 0, 0.5, 1, ...
@Suite struct HDF5Tests {
  private func fixture(_ name: String) throws -> String {
    try #require(Bundle.module.url(forResource: "Fixtures/" + name, withExtension: "h5")).path
  }

  private func ramp(_ count: Int) -> [Float] { (0..<count).map { Float($0) / 2 } }

  @Test("Both formats of groups, attributes and texts", arguments: [("old", 12), ("new", 20)])
  func formats(_ name: String, _ layers: Int) throws {
    try HDF5File.read(fixture(name)) { file in
      #expect(try file.string(attribute: "text") == "a text of variable length: ä")
      #expect(try file.string(attribute: "fixed") == "a text of fixed length")
      let names = try #require(try file.strings(attribute: "layer_names", of: ""))
      #expect(names == (0..<layers).map { "layer_\($0)" })
      for layer in names {
        let isThere = file.exists(layer)
        #expect(isThere)
        #expect(try file.strings(attribute: "weight_names", of: layer) == ["kernel:0", "bias:0"])
        #expect(try file.members(of: layer) == ["bias:0", "kernel:0"])
        let kernel = try file.dataset(layer + "/kernel:0")
        #expect(kernel.shape == [2, 3] && kernel.values == ramp(6))
        #expect(try file.dataset(layer + "/bias:0").values == ramp(3))
      }
      let others = [file.exists("layer_0/none"), file.exists("none/layer_0")]
      #expect(others == [false, false])
      #expect(try file.string(attribute: "none") == nil)
      #expect(throws: FileError.self) { try file.dataset("layer_0") }
    }
  }

  @Test func manyLinksAndAttributes() throws {
    try HDF5File.read(fixture("new")) { (file: borrowing HDF5File) throws in
      let names = try file.members(of: "many")
      let expected: [String] = (0..<200).map { i in "group_" + String(i + 1000).dropFirst() }
      #expect(names == expected)
      for i in 0..<30 {
        let name: String = "attribute_" + String(i + 100).dropFirst()
        let text = try file.string(attribute: name)
        #expect(text == "value \(i)")
      }
    }
  }

  @Test func elementTypesAndChunks() throws {
    try HDF5File.read(fixture("old")) { file in
      #expect(try file.dataset("double").values == ramp(4))
      #expect(try file.dataset("half").values == ramp(4))
      #expect(try file.dataset("integer").values == [-3, 0, 7])
      for name in ["chunked", "packed"] {
        let data = try file.dataset(name)
        #expect(data.shape == [5, 7] && data.values == ramp(35), "\(name)")
      }
    }
  }

  @Test("What lies outside the file is refused, and what the file does not store")
  func outside() throws {
    try HDF5File.read(fixture("outside")) { file in
      for name in ["link", "storage", "virtual", "empty"] {
        #expect(throws: FileError.self, "\(name)") { try file.dataset(name) }
      }
    }
    // A link inside the file is followed.
    try HDF5File.read(fixture("old")) { file in
      let data = try file.dataset("soft")
      #expect(data.values == ramp(4))
    }
  }

  @Test("Damaged files end in one error, or are read", arguments: ["old", "new", "outside"])
  func damaged(_ name: String) throws {
    let bytes = try RegularFile.contents(fixture(name))
    let folder = try TemporaryFolder()
    var slowest = Duration.zero
    var refused = 0
    for mutation in Mutations(of: bytes, count: 400, seed: 7) {
      let path = try folder.write("damaged.h5", mutation)
      let start = ContinuousClock.now
      do {
        try readEverything(path)
      } catch is FileError {
        refused += 1
      }
      slowest = max(slowest, ContinuousClock.now - start)
    }
    #expect(refused > 100)
    #expect(slowest < .seconds(1))
  }

  private func readEverything(_ path: String) throws {
    try HDF5File.read(path) { file in
      for name in ["text", "fixed", "layer_names", "attribute_07"] {
        _ = try file.strings(attribute: name, of: "")
      }
      for member in try file.members(of: "") {
        do { _ = try file.dataset(member) } catch is FileError {}
        do {
          for inner in try file.members(of: member) { _ = try file.dataset(member + "/" + inner) }
        } catch is FileError {}
      }
    }
  }
}

@Suite struct ReaderLimitTests {
  @Test("Digests are those of FIPS 180-4")
  func digests() {
    #expect(
      Digest.hexadecimal("abc".utf8) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    #expect(
      Digest.hexadecimal("".utf8) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    #expect(
      Digest.hexadecimal("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq".utf8)
        == "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1")
    var parts = Digest()
    for _ in 0..<1000 { parts.update([UInt8](repeating: UInt8(ascii: "a"), count: 1000)) }
    #expect(parts.hexadecimal() == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
  }

  @Test("A FIFO, a device or a folder is no file, and nobody waits for it")
  func specialFiles() throws {
    let folder = try TemporaryFolder()
    let fifo = folder.path("fifo")
    try #require(mkfifo(fifo, 0o600) == 0)
    for path in [fifo, "/dev/null", folder.url.path, folder.path("none")] {
      #expect(throws: FileError.self) { try RegularFile.contents(path) }
      #expect(throws: FileError.self) { try RegularFile.part(path, offset: 0, count: 0) }
      #expect(throws: FileError.self) { try Gzip.contents(ofFile: path) }
      #expect(throws: FileError.self) { try HDF5File.read(path) { _ in } }
      #expect(throws: FileError.self) { try SafetensorsFile(path: path) }
    }
    let file = try folder.write("file", [1, 2, 3, 4])
    #expect(try RegularFile.part(file, offset: 1, count: 2) == [2, 3])
    #expect(throws: FileError.self) { try RegularFile.part(file, offset: 3, count: 2) }
    #expect(throws: FileError.self) { try RegularFile.part(file, offset: -1, count: 2) }
    #expect(throws: FileError.self) { try RegularFile.contents(file, limit: 3) }
  }

  @Test("JSON holds no more values than its file can mean")
  func jsonAmplification() throws {
    let many = Array(("[0" + String(repeating: ",0", count: 5_000_000) + "]").utf8)
    #expect(try JSONValue.parse(many, file: "plain").arrayValue?.count == 5_000_001)
    #expect(throws: FileError.self) { try JSONValue.parse(many, file: "packed", stored: 10_000) }
  }

  @Test("Damaged texts and arrays end in one error, or are read")
  func damaged() throws {
    let json = Array(#"{"a":[1,2.5e3,-0.1,{"b":null,"c":[true,false,"text \u00e9"]}],"d":{"e":[]}}"#.utf8)
    var npy: [UInt8] = [0x93] + Array("NUMPY".utf8) + [1, 0, 55, 0]
    npy +=
      Array("{'descr': '<f4', 'fortran_order': True, 'shape': (2,3)}".utf8)
      + [UInt8](repeating: 0, count: 24)
    let idx: [UInt8] = [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3] + [UInt8](repeating: 1, count: 12)
    let nnet = Array("// c\n1,2,1,2,\n2,1,\n0\n0,0,\n1,1,\n0,0,0,\n1,1,1,\n1,2,\n3,\n".utf8)
    let table = Data(#"{"w":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}"#.utf8)
    let safetensors =
      [UInt8(table.count), 0, 0, 0, 0, 0, 0, 0] + [UInt8](table) + [UInt8](repeating: 0, count: 16)
    let folder = try TemporaryFolder()
    func survives(_ original: [UInt8], _ read: ([UInt8]) throws -> Void) throws {
      try read(original)
      let start = ContinuousClock.now
      for mutation in Mutations(of: original, count: 500, seed: 11) {
        do { try read(mutation) } catch is FileError {}
      }
      #expect(ContinuousClock.now - start < .seconds(20))
    }
    try survives(json) { _ = try JSONValue.parse($0, file: "j") }
    try survives(idx) {
      let file = try IdxFile($0, file: "i")
      if file.count > 0 { _ = file.item(0) }
      _ = file.itemSize
    }
    try survives(nnet) { _ = try NNetFile($0, file: "n") }
    try survives(safetensors) { _ = try SafetensorsFile(path: folder.write("s", $0)).doubles("w") }
    do { try survives(npy) { _ = try NpyFile($0, file: "n") } }
    #expect(throws: FileError.self) {
      try IdxFile([0, 0, 8, 4, 0, 0, 0, 0] + [UInt8](repeating: 255, count: 12), file: "i")
    }
  }
}
