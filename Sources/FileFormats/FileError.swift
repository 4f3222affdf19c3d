/// A file that cannot be read: what, where in it, and why. Commands exit with status 2.
public struct FileError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The path as the user gave it.
  public var file: String
  /// The place inside the file (a node, a tensor, `line 3, column 7`), or nil for the whole file.
  public var place: String?
  /// One sentence saying what is wrong.
  public var reason: String

  public init(file: String, place: String? = nil, reason: String) {
    self.file = file
    self.place = place
    self.reason = reason
  }

  public var description: String {
    if let place { return "\(file): \(place): \(reason)" }
    return "\(file): \(reason)"
  }
}
