/// Texts by their scalars, for the longest match and for all matches at a place.
struct Trie: Sendable {
  /// The node that follows a node (upper half) by a scalar (lower half).
  private var edges: [UInt64: Int32] = [:]
  private var values: [Int32] = [-1]

  static let root: Int32 = 0

  /// Adds a text; one that is there already keeps its value unless `replace` is set.
  mutating func insert(_ text: String, value: Int, replace: Bool = true) {
    insert(text.unicodeScalars.lazy.map(\.value), value: value, replace: replace)
  }

  mutating func insert<S: Sequence<UInt32>>(_ scalars: S, value: Int, replace: Bool = true) {
    var node = Self.root
    for scalar in scalars {
      let key = UInt64(UInt32(bitPattern: node)) << 32 | UInt64(scalar)
      if let next = edges[key] {
        node = next
      } else {
        let next = Int32(values.count)
        edges[key] = next
        values.append(-1)
        node = next
      }
    }
    if replace || values[Int(node)] < 0 { values[Int(node)] = Int32(value) }
  }

  /// The node after `node` by a scalar.
  func step(_ node: Int32, _ scalar: UInt32) -> Int32? {
    edges[UInt64(UInt32(bitPattern: node)) << 32 | UInt64(scalar)]
  }

  /// The value of the text that ends at a node.
  func value(_ node: Int32) -> Int? {
    let value = values[Int(node)]
    return value < 0 ? nil : Int(value)
  }

  /// The longest text that starts at a place, from a node on.
  func longest(_ text: TracedText, from start: Int, node: Int32 = Trie.root) -> (end: Int, value: Int)? {
    var node = node
    var place = start
    var found: (end: Int, value: Int)?
    while place < text.count, let next = step(node, text[place].value) {
      node = next
      place += 1
      if let value = value(node) { found = (place, value) }
    }
    return found
  }
}
