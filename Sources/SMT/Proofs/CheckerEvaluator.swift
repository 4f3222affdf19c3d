import Rigor

/// Bounds of linear functions of a network over a box, in integers.
///
/// The method is backward substitution with a chord above and a line through the origin below every undecided ReLU. Covectors
/// are integers with one exponent a block, cut to 41 bits; what is cut off is charged against the largest
/// magnitude of the variables it multiplies. Independent of the solver's floating-point implementation.
package final class CheckerEvaluator {
  let network: CheckerNetwork
  private let rows: [FixedRows]
  private let blockOfVariable: [Int]
  /// In units of 2^-52, by variable: bounds of the value, and of a neuron's argument.
  private(set) var lower: [Int128]
  private(set) var upper: [Int128]
  private(set) var argumentLower: [Int128]
  private(set) var argumentUpper: [Int128]
  /// The largest magnitude of a variable's value.
  private var size: [Int128]
  /// Accumulators of a pass, by variable, and their exponents by block (block 0: the inputs).
  private let accumulator: UnsafeMutablePointer<Int128>
  private var exponents: [Int?]
  /// By block: the blocks that its rows read.
  private let sources: [[Int]]
  /// By variable: whether interval bounds of its row are the best there are.
  private let readsInputs: [Bool]

  static let slopeBits = 22
  private static let covectorBits = 40

  package init(_ network: CheckerNetwork) throws {
    self.network = network
    rows = try network.blocks.map { try FixedRows($0) }
    var owner = [Int](repeating: 0, count: network.variableCount)
    for (b, block) in network.blocks.enumerated() {
      for i in block.rows.indices { owner[block.first + i] = b + 1 }
    }
    blockOfVariable = owner
    let zeros = [Int128](repeating: 0, count: network.variableCount)
    lower = zeros
    upper = zeros
    argumentLower = zeros
    argumentUpper = zeros
    size = zeros
    accumulator = .allocate(capacity: max(1, network.variableCount))
    accumulator.initialize(repeating: 0, count: max(1, network.variableCount))
    sources = network.blocks.map { block in
      Set(block.rows.joined().map { owner[$0.variable] }).sorted()
    }
    // Inputs, or one affine row of inputs, have exact intervals; so has a row that copies such a variable.
    var exact = [Bool](repeating: false, count: network.variableCount)
    var direct = [Bool](repeating: false, count: network.variableCount)
    for block in network.blocks {
      for (i, row) in block.rows.enumerated() {
        let overInputs = row.allSatisfy { owner[$0.variable] == 0 }
        exact[block.first + i] = overInputs && block.kind == .affine
        direct[block.first + i] = overInputs || (row.count == 1 && exact[row[0].variable])
      }
    }
    readsInputs = direct
    exponents = [Int?](repeating: nil, count: network.blocks.count + 1)
  }

  deinit { accumulator.deallocate() }

  // MARK: Bounds of all variables

  /// Bounds everything over a box under phase decisions. False if they contradict each other.
  package func bound(lower boxLower: [Int128], upper boxUpper: [Int128], phases: [Int: Bool]) throws -> Bool {
    for i in 0..<network.inputCount {
      lower[i] = boxLower[i]
      upper[i] = boxUpper[i]
      size[i] = max(boxLower[i].magnitude, boxUpper[i].magnitude).signed
    }
    for (b, block) in network.blocks.enumerated() {
      try interval(b)
      if block.kind == .affine { continue }
      for i in block.rows.indices {
        let v = block.first + i
        decide(v, phases)
        if argumentLower[v] < 0, argumentUpper[v] > 0, !readsInputs[v] {
          let low = try argumentBound(b, i, negated: false)
          let high = try argumentBound(b, i, negated: true)
          argumentLower[v] = max(argumentLower[v], try Fixed.down(low))
          argumentUpper[v] = min(argumentUpper[v], try -Fixed.down(high))
          decide(v, phases)
        }
        if argumentLower[v] > argumentUpper[v] { return false }
        finish(v, block.kind)
      }
    }
    return true
  }

  private func decide(_ v: Int, _ phases: [Int: Bool]) {
    guard let active = phases[v] else { return }
    if active {
      argumentLower[v] = max(argumentLower[v], 0)
    } else {
      argumentUpper[v] = min(argumentUpper[v], 0)
    }
  }

  private func finish(_ v: Int, _ kind: CheckerNetwork.Kind) {
    let l = argumentLower[v]
    let u = argumentUpper[v]
    if kind == .relu {
      lower[v] = max(l, 0)
      upper[v] = max(u, 0)
    } else {
      let one = Int128(1) << Fixed.bits
      lower[v] = l > 0 ? one : (l == 0 ? 0 : -one)
      upper[v] = u < 0 ? -one : (u == 0 ? 0 : one)
    }
    size[v] = max(lower[v].magnitude, upper[v].magnitude).signed
  }

  private func interval(_ b: Int) throws {
    let block = network.blocks[b]
    let fixed = rows[b]
    let divisor = Int128(block.denominator)
    for i in 0..<fixed.count {
      var low = Int128(0)
      var high = Int128(0)
      var magnitude = Int128(0)
      for k in fixed.start[i]..<fixed.start[i + 1] {
        let w = Int128(fixed.weight[k])
        let c = fixed.column[k]
        low = try sum(low, try product(w, w >= 0 ? lower[c] : upper[c]))
        high = try sum(high, try product(w, w >= 0 ? upper[c] : lower[c]))
        if fixed.isRounded[k] { magnitude = try sum(magnitude, size[c]) }
      }
      low = try Fixed.shiftedRight(low, by: fixed.exponent, up: false)
      high = try Fixed.shiftedRight(high, by: fixed.exponent, up: true)
      if !fixed.isExact {
        let loss = try Fixed.shiftedRight(magnitude, by: fixed.exponent + 1, up: true)
        low = try sum(low, -loss)
        high = try sum(high, loss)
      }
      if divisor != 1 {
        low = Self.floorDivide(low, divisor)
        high = -Self.floorDivide(-high, divisor)
      }
      low = try sum(low, fixed.biasDown[i])
      high = try sum(high, fixed.biasUp[i])
      guard low > -Fixed.limit, high < Fixed.limit else { throw CheckerRangeError() }
      let v = block.first + i
      if block.kind == .affine {
        lower[v] = low
        upper[v] = high
        size[v] = max(low.magnitude, high.magnitude).signed
      } else {
        argumentLower[v] = low
        argumentUpper[v] = high
      }
    }
  }

  private static func floorDivide(_ a: Int128, _ b: Int128) -> Int128 {
    let (q, r) = a.quotientAndRemainder(dividingBy: b)
    return r < 0 ? q - 1 : q
  }

  @inline(__always)
  private func product(_ a: Int128, _ b: Int128) throws -> Int128 {
    let (value, overflow) = a.multipliedReportingOverflow(by: b)
    if overflow { throw CheckerRangeError() }
    return value
  }

  @inline(__always)
  private func sum(_ a: Int128, _ b: Int128) throws -> Int128 {
    let (value, overflow) = a.addingReportingOverflow(b)
    if overflow { throw CheckerRangeError() }
    return value
  }

  // MARK: One linear function

  /// A lower bound of a neuron's argument, or of its negative.
  private func argumentBound(_ b: Int, _ i: Int, negated: Bool) throws -> Rational {
    begin()
    // Seed the neuron's block with the covector +-1 and treat it as affine for this pass.
    let v = network.blocks[b].first + i
    open(b + 1, exponent: Self.covectorBits - 2)
    accumulator[v] = Int128(negated ? -1 : 1) << (Self.covectorBits - 2)
    return try pull(from: b, asAffine: b, slopes: [:], multipliers: [:])
  }

  /// A lower bound of `sum of coefficient * variable` with given slopes of lower lines (in units of 2^-22) and multipliers of
  /// decided phases, by variable: positive for active neurons, negative for inactive ones.
  package func lowerBound(
    _ coefficients: [(variable: Int, coefficient: Rational)], slopes: [Int: Int128],
    multipliers: [Int: Rational]
  ) throws -> Rational {
    begin()
    var outOfScale = Rational()
    // The largest coefficient gets 61 bits, whatever its size.
    let largest = coefficients.reduce(0.0) { max($0, $1.coefficient.magnitude.nearestDouble) }
    guard largest.isFinite else { throw CheckerRangeError() }
    let exponent = largest == 0 ? 60 : 60 - Int(largest.exponent)
    for (variable, coefficient) in coefficients {
      let block = blockOfVariable[variable]
      if exponents[block] == nil { open(block, exponent: exponent) }
      let scaled = coefficient.scaled(byTwoTo: exponent)
      let whole = scaled.floor
      guard let value = whole.int else { throw CheckerRangeError() }
      accumulator[variable] = try sum(accumulator[variable], Int128(value))
      // What the unit does not hold is charged against the variable's magnitude.
      let rest = (scaled - whole).scaled(byTwoTo: -exponent)
      if !rest.isZero { outOfScale += rest * Fixed.rational(size[variable], exponent: Fixed.bits) }
    }
    for v in multipliers.keys where exponents[blockOfVariable[v]] == nil {
      open(blockOfVariable[v], exponent: exponent)
    }
    return try pull(from: network.blocks.count - 1, asAffine: -1, slopes: slopes, multipliers: multipliers)
      - outOfScale
  }

  private func begin() {
    for b in exponents.indices { exponents[b] = nil }
  }

  /// Starts a block's accumulators at zero.
  private func open(_ block: Int, exponent: Int) {
    exponents[block] = exponent
    let range = block == 0 ? 0..<network.inputCount : variables(block - 1)
    for v in range { accumulator[v] = 0 }
  }

  private func variables(_ b: Int) -> Range<Int> {
    let block = network.blocks[b]
    return block.first..<(block.first + block.rows.count)
  }

  /// Cuts a block's accumulators to covectors of 41 bits. Returns the exponent, and what was cut off, charged
  /// against the variables' magnitudes, in units of 2^-(exponent + 52).
  private func cut(_ range: Range<Int>, _ exponent: Int) throws -> (exponent: Int, loss: Int128) {
    var largest: UInt128 = 0
    for v in range { largest = max(largest, accumulator[v].magnitude) }
    let width = 128 - largest.leadingZeroBitCount
    let shift = max(0, width - Self.covectorBits)
    if shift == 0 { return (exponent, 0) }
    let mask = (Int128(1) << shift) - 1
    var loss = Int128(0)
    for v in range where accumulator[v] != 0 {
      if accumulator[v] & mask != 0 { loss = try sum(loss, size[v]) }
      accumulator[v] = accumulator[v] >> shift
    }
    return (exponent - shift, loss)
  }

  /// Cuts covectors on neurons' arguments to 62 bits, which a multiplier far larger than all others can exceed. Returns the
  /// exponent, and what was cut off, charged against the arguments' magnitudes.
  private func shorten(_ range: Range<Int>, _ exponent: Int) throws -> (exponent: Int, cost: Rational) {
    var largest: UInt128 = 0
    for v in range { largest = max(largest, accumulator[v].magnitude) }
    let shift = 128 - largest.leadingZeroBitCount - (Self.covectorBits + Self.slopeBits)
    if shift <= 0 { return (exponent, 0) }
    var loss = Int128(0)
    for v in range where accumulator[v] != 0 {
      loss = try sum(loss, max(abs(argumentLower[v]), abs(argumentUpper[v])))
      accumulator[v] = accumulator[v] >> shift
    }
    return (exponent - shift, Fixed.rational(loss, exponent: exponent - shift + Fixed.bits))
  }

  private func pull(
    from top: Int, asAffine seed: Int, slopes: [Int: Int128], multipliers: [Int: Rational]
  ) throws -> Rational {
    var constant = Rational()
    for b in stride(from: top, through: 0, by: -1) {
      guard let exponent = exponents[b + 1] else { continue }
      let block = network.blocks[b]
      let range = variables(b)
      var (e, loss) = try cut(range, exponent)
      // In units of 2^-(e + 52).
      var total = -loss
      if block.kind != .affine && b != seed {
        total = try sum(total, try relax(b, slopes))
        e += Self.slopeBits
        // The constants are in the exponent before the slopes.
        constant += Fixed.rational(total, exponent: e - Self.slopeBits + Fixed.bits)
        total = 0
        for (v, multiplier) in multipliers where range.contains(v) {
          // -multiplier * argument <= 0 under the decision. Any multiplier of the right sign is valid, so that its
          // magnitude may be rounded down: never below 0, which would turn the sign.
          guard let push = multiplier.magnitude.scaled(byTwoTo: e).floor.int128 else {
            throw CheckerRangeError()
          }
          accumulator[v] = try sum(accumulator[v], multiplier.sign > 0 ? -push : push)
        }
        let (shorter, cost) = try shorten(range, e)
        e = shorter
        constant -= cost
      }
      for v in range where accumulator[v] != 0 {
        let c = accumulator[v]
        let bias = c >= 0 ? rows[b].biasDown[v - block.first] : rows[b].biasUp[v - block.first]
        let (term, isLarge) = c.multipliedReportingOverflow(by: bias)
        let (next, isFull) = total.addingReportingOverflow(term)
        if isLarge || isFull {
          constant += Fixed.rational(c, exponent: e) * Fixed.rational(bias, exponent: Fixed.bits)
        } else {
          total = next
        }
      }
      constant += Fixed.rational(total, exponent: e + Fixed.bits)
      constant -= try distribute(b, e)
    }
    return try constant + concretise()
  }

  /// Applies the lines of a block's neurons: covectors move from values to arguments and gain 22 bits. Returns the
  /// constants in units of the old exponent plus 52 bits.
  private func relax(_ b: Int, _ slopes: [Int: Int128]) throws -> Int128 {
    let block = network.blocks[b]
    let one = Int128(1) << Self.slopeBits
    var constant = Int128(0)
    for v in variables(b) where accumulator[v] != 0 {
      let a = accumulator[v]
      if block.kind == .sign {
        constant = try sum(constant, try product(a, a >= 0 ? lower[v] : upper[v]))
        accumulator[v] = 0
        continue
      }
      let l = argumentLower[v]
      let u = argumentUpper[v]
      if l >= 0 {
        accumulator[v] = a << Self.slopeBits
      } else if u <= 0 {
        accumulator[v] = 0
      } else if a >= 0 {
        let slope = slopes[v] ?? (u > -l ? one : 0)
        accumulator[v] = try product(a, slope)
      } else {
        // Any slope in 0...1 with this intercept lies above the ReLU on [l, u]: it does so at both ends and the
        // function is convex.
        let slope = min(one, (u << Self.slopeBits) / (u - l))
        let intercept = max(-(slope * l), (one - slope) * u)
        constant = try sum(
          constant, try product(a, try Fixed.shiftedRight(intercept, by: Self.slopeBits, up: true)))
        accumulator[v] = try product(a, slope)
      }
    }
    return constant
  }

  /// Sends a block's covectors (62 bits) along its rows. Returns what rounding may cost.
  private func distribute(_ b: Int, _ exponent: Int) throws -> Rational {
    let block = network.blocks[b]
    let fixed = rows[b]
    var cost = Rational()
    var e = exponent
    if block.denominator != 1 {
      // Covectors are divided, with 16 more bits, rounding down.
      let divisor = Int128(block.denominator)
      var loss = Int128(0)
      for v in variables(b) where accumulator[v] != 0 {
        accumulator[v] = Self.floorDivide(accumulator[v] << 16, divisor)
        for k in fixed.start[v - block.first]..<fixed.start[v - block.first + 1] {
          // A rounded weight may be half a unit larger.
          let magnitude = Int128(fixed.weight[k].magnitude) + (fixed.isRounded[k] ? 1 : 0)
          let scaled = try product(magnitude, size[fixed.column[k]])
          loss = try sum(loss, try Fixed.shiftedRight(scaled, by: fixed.exponent, up: true))
        }
      }
      e += 16
      cost += Fixed.rational(loss, exponent: e + Fixed.bits)
    }
    let target = e + fixed.exponent
    var shifts: [Int: Int] = [:]
    for source in sources[b] {
      guard let present = exponents[source] else {
        open(source, exponent: target)
        continue
      }
      if present > target {
        // The accumulators are finer than what comes: cut them.
        var loss = Int128(0)
        let range = source == 0 ? 0..<network.inputCount : variables(source - 1)
        for v in range where accumulator[v] != 0 {
          accumulator[v] = try Fixed.shiftedRight(accumulator[v], by: present - target, up: false)
          loss = try sum(loss, size[v])
        }
        exponents[source] = target
        cost += Fixed.rational(loss, exponent: target + Fixed.bits)
      } else if present < target {
        shifts[source] = target - present
      }
    }
    let cannotOverflow = shifts.isEmpty && sumsFit(b)
    var rounding = Int128(0)
    for v in variables(b) where accumulator[v] != 0 {
      let c = accumulator[v]
      guard c.magnitude < 1 << 64 else { throw CheckerRangeError() }
      let range = fixed.start[v - block.first]..<fixed.start[v - block.first + 1]
      if cannotOverflow {
        fixed.column.withUnsafeBufferPointer { column in
          fixed.weight.withUnsafeBufferPointer { weight in
            for k in range { accumulator[column[k]] &+= c &* Int128(weight[k]) }
          }
        }
      } else {
        for k in range {
          let column = fixed.column[k]
          var term = c &* Int128(fixed.weight[k])
          if let shift = shifts[blockOfVariable[column]] {
            term = try Fixed.shiftedRight(term, by: shift, up: false)
            cost += Fixed.rational(size[column], exponent: target - shift + Fixed.bits)
          }
          accumulator[column] = try sum(accumulator[column], term)
        }
      }
      if !fixed.isExact {
        // Half a unit of every rounded weight; the covector is rounded up to 20 bits less.
        let multiple = (c.magnitude.signed >> 20) + 1
        for k in range where fixed.isRounded[k] {
          rounding = try sum(rounding, try product(multiple, size[fixed.column[k]]))
        }
      }
    }
    if rounding != 0 { cost += Fixed.rational(rounding, exponent: target + 1 + Fixed.bits - 20) }
    return cost
  }

  /// Whether what a block's rows read stays below 2^126 when the block's covectors are sent along them, however signs fall.
  private func sumsFit(_ b: Int) -> Bool {
    var covector: UInt128 = 0
    for v in variables(b) { covector = max(covector, accumulator[v].magnitude) }
    var present: UInt128 = 0
    for source in sources[b] {
      let range = source == 0 ? 0..<network.inputCount : variables(source - 1)
      for v in range { present = max(present, accumulator[v].magnitude) }
    }
    // No weight exceeds 2^46.
    guard covector < 1 << 64, present < 1 << 125 else { return false }
    let (total, overflow) = (covector << 46).multipliedReportingOverflow(by: UInt128(rows[b].mostUses))
    return !overflow && total < 1 << 125
  }

  /// The minimum of the input covectors over the box.
  private func concretise() throws -> Rational {
    guard let exponent = exponents[0] else { return 0 }
    let (e, loss) = try cut(0..<network.inputCount, exponent)
    var total = -loss
    for i in 0..<network.inputCount where accumulator[i] != 0 {
      let c = accumulator[i]
      total = try sum(total, try product(c, c >= 0 ? lower[i] : upper[i]))
    }
    return Fixed.rational(total, exponent: e + Fixed.bits)
  }

  /// Whether a variable is a ReLU whose phase the bounds leave open.
  func isUndecided(_ v: Int) -> Bool { argumentLower[v] < 0 && argumentUpper[v] > 0 }
}

extension UInt128 {
  /// The value as a signed number; magnitudes in the checker stay far below the limit.
  fileprivate var signed: Int128 { Int128(truncatingIfNeeded: self) }
}

extension Rational {
  /// The number if it is an integer of less than 124 bits.
  fileprivate var int128: Int128? {
    if let small = int { return Int128(small) }
    let high = scaled(byTwoTo: -62).floor
    guard let top = high.int, let low = (self - high.scaled(byTwoTo: 62)).int else { return nil }
    return Int128(top) << 62 + Int128(low)
  }
}
