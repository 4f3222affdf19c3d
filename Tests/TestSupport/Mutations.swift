/// Damaged copies of a file, the same ones in every run.
///
/// Every fourth is cut off; in the others up to eight bytes are replaced: by anything, by the neighbouring value, or by
/// all bits set or cleared, which sizes and addresses are sensitive to.
public struct Mutations: Sequence, IteratorProtocol {
  private let original: [UInt8]
  private var remaining: Int
  private var generator: UnitGenerator

  public init(of original: [UInt8], count: Int, seed: UInt64) {
    self.original = original
    remaining = original.isEmpty ? 0 : count
    generator = UnitGenerator(state: seed)
  }

  private mutating func below(_ limit: Int) -> Int {
    Swift.min(limit - 1, Int(generator.unit() * Double(limit)))
  }

  public mutating func next() -> [UInt8]? {
    guard remaining > 0 else { return nil }
    remaining -= 1
    if remaining % 4 == 0 { return Array(original.prefix(below(original.count))) }
    var bytes = original
    for _ in 0...below(8) {
      let place = below(bytes.count)
      switch below(4) {
      case 0: bytes[place] = UInt8(below(256))
      case 1: bytes[place] &+= below(2) == 0 ? 1 : 255
      case 2: bytes[place] = 255
      default: for i in place..<Swift.min(bytes.count, place + 8) { bytes[i] = below(2) == 0 ? 0 : 255 }
      }
    }
    return bytes
  }
}
