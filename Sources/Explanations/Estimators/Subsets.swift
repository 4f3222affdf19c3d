/// Subsets as rows of removal flags.
enum Subsets {
  /// Appends every subset of the given size, in lexicographic order; returns their number.
  static func appendAll(ofSize k: Int, of m: Int, to flags: inout [UInt8]) -> Int {
    var chosen = Array(0..<k)
    var rows = 0
    while true {
      appendRow(chosen, m, &flags)
      rows += 1
      var i = k - 1
      while i >= 0 && chosen[i] == m - k + i { i -= 1 }
      if i < 0 { return rows }
      chosen[i] += 1
      var j = i + 1
      while j < k {
        chosen[j] = chosen[j - 1] + 1
        j += 1
      }
    }
  }

  /// Appends a uniformly random subset of the given size (Floyd).
  static func appendRandom(
    ofSize k: Int, of m: Int, to flags: inout [UInt8], _ generator: inout CounterGenerator
  ) {
    let start = flags.count
    flags.append(contentsOf: repeatElement(0, count: m))
    for j in (m - k)..<m {
      let t = generator.index(below: j + 1)
      if flags[start + t] == 0 { flags[start + t] = 1 } else { flags[start + j] = 1 }
    }
  }

  /// Appends `count` different random subsets of the given size: uniform sampling without replacement.
  static func appendDistinct(
    _ count: Int, ofSize k: Int, of m: Int, to flags: inout [UInt8], _ generator: inout CounterGenerator
  ) {
    let population = Binomial.coefficient(m, k)
    if Double(count) * 2 >= population {
      // Dense: list all and keep a random choice.
      var all: [UInt8] = []
      let rows = appendAll(ofSize: k, of: m, to: &all)
      var order = Array(0..<rows)
      generator.shuffle(&order)
      for row in order.prefix(count) { flags.append(contentsOf: all[(row * m)..<((row + 1) * m)]) }
      return
    }
    // Sparse: draw and reject repetitions; fewer than half of the population is taken, so this is quick.
    var seen: Set<[UInt8]> = []
    while seen.count < count {
      var row: [UInt8] = []
      appendRandom(ofSize: k, of: m, to: &row, &generator)
      if seen.insert(row).inserted { flags.append(contentsOf: row) }
    }
  }

  private static func appendRow(_ chosen: [Int], _ m: Int, _ flags: inout [UInt8]) {
    let start = flags.count
    flags.append(contentsOf: repeatElement(0, count: m))
    for e in chosen { flags[start + e] = 1 }
  }
}
