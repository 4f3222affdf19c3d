/// A code point with the part of the text that it came from.
struct TracedScalar: Sendable, Equatable {
  var value: UInt32
  /// The scalars of the original text, `start..<end`; empty for what was inserted.
  var start: Int32
  var end: Int32

  /// Another code point of the same origin.
  func with(_ value: UInt32) -> TracedScalar { TracedScalar(value: value, start: start, end: end) }

  /// A code point to be inserted before this one.
  func inserted(_ value: UInt32) -> TracedScalar { TracedScalar(value: value, start: start, end: start) }
}

/// A text under work: every scalar knows its origin.
typealias TracedText = [TracedScalar]

extension Array where Element == TracedScalar {
  /// The scalars of a text, each its own origin.
  init(_ text: String) {
    self = []
    reserveCapacity(text.utf8.count)
    for (place, scalar) in text.unicodeScalars.enumerated() {
      append(TracedScalar(value: scalar.value, start: Int32(place), end: Int32(place + 1)))
    }
  }
}

extension Collection where Element == TracedScalar {
  /// The text as it stands now.
  var text: String {
    var view = String.UnicodeScalarView()
    // Tables and files hold scalars only; the substitute is never taken.
    for scalar in self { view.append(Unicode.Scalar(scalar.value) ?? "\u{FFFD}") }
    return String(view)
  }
}
