import FileFormats
import Specifications

/// The arithmetic that a verdict is about, as the element types of a query declare it.
public enum Semantics: String, Sendable, Hashable {
  /// Exact real arithmetic on the stored weights.
  case real
  /// The network evaluated in float32.
  case float32
  /// The network evaluated in float64.
  case float64
}

extension Query {
  /// The arithmetic that the query is about.
  ///
  /// - Throws: `FileError` for element types that are not supported, or for a mixture of them.
  public func semantics() throws -> Semantics {
    var found: Semantics?
    for tensor in tensors {
      let semantics: Semantics
      switch tensor.type {
      case .real: semantics = .real
      case .float32: semantics = .float32
      case .float64: semantics = .float64
      default:
        throw FileError(
          file: file, place: tensor.position.description,
          reason:
            "\(tensor.name) has the element type \(tensor.type); only real, float32 and float64 are supported"
        )
      }
      if let found, found != semantics {
        throw FileError(
          file: file, place: tensor.position.description,
          reason: "\(tensor.name) has the element type \(tensor.type), earlier tensors have \(found.rawValue)"
        )
      }
      found = semantics
    }
    return found ?? .real
  }
}
