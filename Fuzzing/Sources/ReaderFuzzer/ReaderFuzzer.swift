import Explanations
import FileFormats
import Foundation
import IR
import Importers
import Inputs
import Language
import SMT
import Specifications

/// The readers; the first byte of an input chooses one.
private let readers: [@Sendable ([UInt8]) throws -> Void] = [
  { _ = try OnnxImporter.load(bytes: $0, file: "fuzz.onnx") },
  { try onFile($0, "nnet") { _ = try Importer.load($0) } },
  { try onFile($0, "h5") { _ = try Importer.load($0) } },
  { try onFile($0, "npy") { _ = try InputDocument(contentsOf: $0) } },
  { try onFile($0, "json") { _ = try InputDocument(contentsOf: $0) } },
  { _ = try Query(bytes: $0, file: "fuzz.vnnlib").cases() },
  { try onFile($0, "json") { _ = try RegionRecord.read($0) } },
  { try onFile($0, "json") { _ = try GraphDocument.read($0) } },
  { try onFile($0, "safetensors") { _ = try SafetensorsFile(path: $0) } },
  { try onFile($0, "json") { _ = try Tokenizer.fromTokenizerJSON($0) } },
  { try onFile($0, "json") { _ = try BoxDocument(contentsOf: $0) } },
]

/// Readers of paths get a file in memory.
private func onFile(_ bytes: [UInt8], _ suffix: String, _ body: (String) throws -> Void) throws {
  let path = "/dev/shm/nnverify-fuzz-\(getpid()).\(suffix)"
  defer { unlink(path) }
  guard FileManager.default.createFile(atPath: path, contents: Data(bytes)) else { return }
  try body(path)
}

/// Called by libFuzzer with one input after another. A reader may refuse any of them, with an error of the kinds that it
/// documents; everything else is a finding.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzReaders(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
  let bytes = [UInt8](UnsafeBufferPointer(start: data, count: size))
  guard let first = bytes.first else { return 0 }
  do {
    try readers[Int(first) % readers.count](Array(bytes.dropFirst()))
  } catch is FileError {
  } catch is UnsupportedOperator {
  } catch is GraphError {
  } catch {
    fatalError("undocumented error \(error)")  // The fuzzer records the input that led here.
  }
  return 0
}
