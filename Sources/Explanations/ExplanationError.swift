/// A request that cannot be answered as asked. Bad files are `FileError`s instead.
public enum ExplanationError: Error, Sendable, Equatable, CustomStringConvertible {
  /// Exact enumeration was asked for a set that is too large.
  case tooManyElements(count: Int, limit: Int)
  /// Soft masks with semantics or an aggregator that only knows presence and absence.
  case softMaskUnsupported(String)
  /// The option does not apply to this model, graph or explanation.
  case notApplicable(String)

  public var description: String {
    switch self {
    case .tooManyElements(let count, let limit):
      return "exact enumeration of \(count) elements needs 2^\(count) evaluations (limit \(limit)); "
        + "use --method stratified"
    case .softMaskUnsupported(let what): return what
    case .notApplicable(let what): return what
    }
  }
}
