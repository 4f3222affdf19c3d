import IR
import OnnxFormat

/// From ONNX's element types to the engine's.
enum OnnxElementTypes {
  static func type(_ number: Int) -> ElementType? {
    OnnxElementType(rawValue: number).flatMap(OnnxSession.elementType)
  }

  static func name(_ number: Int) -> String {
    OnnxElementType(rawValue: number)?.description ?? "\(number)"
  }

  /// The elements as the engine carries them; empty for types it has none for.
  static func doubles(_ tensor: OnnxTensor) -> [Double] {
    switch tensor.values {
    case .float32(let values): values.map { Double($0) }
    case .float64(let values): values
    case .integer(let values): values.map { Double($0) }
    case .unsigned(let values): values.map { Double($0) }
    case .text, .undecoded: []
    }
  }
}
