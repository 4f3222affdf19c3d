/// What becomes of the matches at which a text is cut.
enum SplitBehavior: String, Sendable {
  case removed = "Removed"
  case isolated = "Isolated"
  case mergedWithPrevious = "MergedWithPrevious"
  case mergedWithNext = "MergedWithNext"
  /// Neighbouring matches stay together.
  case contiguous = "Contiguous"

  /// Cuts at single scalars.
  func split(_ text: TracedText, where isMatch: (UInt32) -> Bool) -> [TracedText] {
    var matches: [Range<Int>] = []
    for (place, scalar) in text.enumerated() where isMatch(scalar.value) { matches.append(place..<place + 1) }
    return split(text, at: matches)
  }

  /// Cuts at matches, ascending and apart; inverted, at what lies between them.
  func split(_ text: TracedText, at matches: [Range<Int>], isInverted: Bool = false) -> [TracedText] {
    if matches.isEmpty, !isInverted { return text.isEmpty ? [] : [text] }
    var pieces: [(range: Range<Int>, isMatch: Bool)] = []
    var place = 0
    func append(_ range: Range<Int>, _ isMatch: Bool) {
      if !range.isEmpty { pieces.append((range, isMatch != isInverted)) }
    }
    for match in matches {
      append(place..<match.lowerBound, false)
      append(match, true)
      place = match.upperBound
    }
    append(place..<text.count, false)
    return ranges(pieces).map { Array(text[$0]) }
  }

  private func ranges(_ pieces: [(range: Range<Int>, isMatch: Bool)]) -> [Range<Int>] {
    var result: [Range<Int>] = []
    switch self {
    case .isolated: return pieces.map(\.range)
    case .removed: return pieces.filter { !$0.isMatch }.map(\.range)
    case .contiguous:
      var previous: Bool?
      for piece in pieces {
        if piece.isMatch == previous, let last = result.popLast() {
          result.append(last.lowerBound..<piece.range.upperBound)
        } else {
          result.append(piece.range)
        }
        previous = piece.isMatch
      }
    case .mergedWithPrevious:
      var previous = false
      for piece in pieces {
        if piece.isMatch, !previous, let last = result.popLast() {
          result.append(last.lowerBound..<piece.range.upperBound)
        } else {
          result.append(piece.range)
        }
        previous = piece.isMatch
      }
    case .mergedWithNext:
      var previous = false
      for piece in pieces.reversed() {
        if piece.isMatch, !previous, let last = result.popLast() {
          result.append(piece.range.lowerBound..<last.upperBound)
        } else {
          result.append(piece.range)
        }
        previous = piece.isMatch
      }
      result.reverse()
    }
    return result
  }
}
