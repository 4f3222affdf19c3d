import IR

/// A 64-bit fingerprint (FNV-1a), to notice that a file was changed; soundness never rests on it.
struct Fingerprint {
  private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

  mutating func add(byte: UInt8) { value = (value ^ UInt64(byte)) &* 0x100_0000_01b3 }

  mutating func add(_ text: String) {
    for byte in text.utf8 { add(byte: byte) }
    add(byte: 0)
  }

  mutating func add(_ word: UInt64) {
    for shift in stride(from: 0, to: 64, by: 8) {
      add(byte: UInt8(truncatingIfNeeded: word >> UInt64(shift)))
    }
  }

  var text: String {
    let hex = String(value, radix: 16)
    return String(repeating: "0", count: 16 - hex.count) + hex
  }

  static func of(_ text: String) -> String {
    var print = Fingerprint()
    print.add(text)
    return print.text
  }
}

extension Graph {
  /// A fingerprint of the structure and every constant that a node depends on.
  func fingerprint(of target: NodeID) -> String {
    var print = Fingerprint()
    for node in cut(to: target, from: nil).nodes {
      print.add(node.operation.kind)
      print.add("\(node.shape)")
      for input in node.inputs { print.add(UInt64(input)) }
      for weight in node.operation.weights {
        print.add("\(weight.shape)")
        for value in weight.values.elements { print.add(value.bitPattern) }
      }
      if case .elementwise(let f) = node.operation {
        print.add(f.name)
        for line in f.pieces?.lines ?? [] {
          print.add(line.slope.bitPattern)
          print.add(line.intercept.bitPattern)
        }
      }
    }
    return print.text
  }
}
