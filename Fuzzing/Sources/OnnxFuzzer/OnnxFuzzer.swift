import FileFormats
import IR
import Importers

/// Called by libFuzzer with one input after another. The ONNX importer may refuse any of them, with an error of the
/// two kinds that it documents; everything else is a finding.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOnnxImporter(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
  let bytes = [UInt8](UnsafeBufferPointer(start: data, count: size))
  do {
    _ = try OnnxImporter.load(bytes: bytes, file: "fuzz.onnx")
  } catch is FileError {
  } catch is UnsupportedOperator {
  } catch {
    fatalError("undocumented error \(error)")  // The fuzzer records the input that led here.
  }
  return 0
}
