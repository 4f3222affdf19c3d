extension StratifiedDesign {
  /// The estimate of the expectations of `game`.
  /// - Parameter intact: the values with nothing removed.
  public func estimate(
    _ game: SubsetGame, intact: [Double], random: CounterRandom
  ) throws -> Estimate {
    let m = elementCount
    let count = game.valueCount
    // 1. All subsets of the design in one list, so that evaluation runs in full batches.
    var flags: [UInt8] = []
    var enumeratedRows: [Int] = []
    for level in enumerated where level > 0 {
      enumeratedRows.append(Subsets.appendAll(ofSize: level, of: m, to: &flags))
    }
    for (index, stratum) in strata.enumerated() {
      var generator = random.stream(UInt64(index) + 1).generator()
      append(stratum, to: &flags, &generator)
    }
    let rows = m == 0 ? 0 : flags.count / m
    let values = try game.values(flags, rows: rows)

    // 2. Enumerated levels contribute without error.
    var exactPart = intact.map { $0 * masses[0] }
    var row = 0
    var control = Control(intact: intact, elements: m)
    for (index, level) in enumerated.filter({ $0 > 0 }).enumerated() {
      let size = enumeratedRows[index]
      for v in 0..<count {
        var sum = 0.0
        for r in row..<(row + size) { sum += values[r * count + v] }
        exactPart[v] += masses[level] * (sum / Double(size))
      }
      if level == 1 || (level == m - 1 && control.level == nil) {
        control.fit(level: level, flags: flags, values: values, rows: row..<(row + size), valueCount: count)
      }
      row += size
    }

    // 3. Sampled strata, one value at a time.
    let first = row
    var result = exactPart
    var errors = [Double](repeating: 0, count: count)
    var plain = exactPart
    for v in 0..<count {
      var samples: [StratumSample] = []
      var r = first
      for stratum in strata {
        let rows = r..<(r + stratum.samples)
        samples.append(
          StratumSample(
            stratum: stratum, elements: m, masses: masses,
            values: rows.map { values[$0 * count + v] },
            controls: control.level == nil ? nil : rows.map { control.value(flags, row: $0, value: v) },
            controlMean: control.mean(of: stratum, masses: masses, value: v)))
        r += stratum.samples
      }
      let combined = StratumSample.combine(samples)
      result[v] += combined.mean
      plain[v] += combined.plainMean
      errors[v] = combined.variance.squareRoot()
    }
    let weights = strata.reduce(0.0) { $0 + $1.mass * $1.mass / Double($1.samples) }
    let radius = hoeffdingRadius(sumOfSquaredWeights: weights)
    return Estimate(
      method: .stratified, values: result, standardErrors: errors, evaluations: rows,
      guaranteed: plain.map { clippedInterval($0, radius) })
  }

  private func append(_ stratum: Stratum, to flags: inout [UInt8], _ generator: inout CounterGenerator) {
    if stratum.levels.count == 1 {
      Subsets.appendDistinct(
        stratum.samples, ofSize: stratum.levels[0], of: elementCount, to: &flags, &generator)
      return
    }
    // Systematic in K: sample j takes a uniform point of the j-th of n equal slices of the stratum's mass.
    for j in 0..<stratum.samples {
      var target = (Double(j) + generator.uniform()) / Double(stratum.samples) * stratum.mass
      var level = stratum.levels[stratum.levels.count - 1]
      for k in stratum.levels {
        if target < masses[k] {
          level = k
          break
        }
        target -= masses[k]
      }
      Subsets.appendRandom(ofSize: level, of: elementCount, to: &flags, &generator)
    }
  }
}

/// The control variate made of single-removal effects, whose exact mean over the subsets of a size is known.
///
/// What removals do to a probability saturates, so the control multiplies: removing a set leaves the product of what
/// removing each of its elements leaves, of the probability or of its complement, whichever is larger; means are
/// elementary symmetric polynomials. Values outside [0, 1] and effects from the far end are added instead.
private struct Control {
  let intact: [Double]
  let elements: Int
  private(set) var level: Int?
  /// Effect of element e on value v at [e * valueCount + v].
  private var effects: [Double] = []
  /// By value: the ratios of a multiplicative control with what they multiply; nil where effects are added.
  private var products: [(ratios: [Double], start: Double, offset: Double)?] = []
  private var valueCount = 0

  init(intact: [Double], elements: Int) {
    self.intact = intact
    self.elements = elements
  }

  mutating func fit(level: Int, flags: [UInt8], values: [Double], rows: Range<Int>, valueCount: Int) {
    self.level = level
    self.valueCount = valueCount
    effects = [Double](repeating: 0, count: elements * valueCount)
    let single: UInt8 = level == 1 ? 1 : 0
    for row in rows {
      for e in 0..<elements where flags[row * elements + e] == single {
        for v in 0..<valueCount { effects[e * valueCount + v] = values[row * valueCount + v] - intact[v] }
      }
    }
    products = [(ratios: [Double], start: Double, offset: Double)?](repeating: nil, count: valueCount)
    if level != 1 {
      // From the far end only differences between elements matter within a level.
      for i in effects.indices { effects[i] = -effects[i] }
      return
    }
    for v in 0..<valueCount {
      let after = (0..<elements).map { intact[v] + effects[$0 * valueCount + v] }
      guard (after + [intact[v]]).allSatisfy({ $0 >= 0 && $0 <= 1 }) else { continue }
      if intact[v] >= 0.5 {
        products[v] = (after.map { $0 / intact[v] }, intact[v], 0)
      } else {
        // 1 - (1 - p) times ratios of the complement.
        products[v] = (after.map { (1 - $0) / (1 - intact[v]) }, intact[v] - 1, 1)
      }
    }
  }

  func value(_ flags: [UInt8], row: Int, value v: Int) -> Double {
    if let product = products[v] {
      var factor = product.start
      for e in 0..<elements where flags[row * elements + e] == 1 { factor *= product.ratios[e] }
      return product.offset + factor
    }
    var sum = 0.0
    for e in 0..<elements where flags[row * elements + e] == 1 { sum += effects[e * valueCount + v] }
    return sum
  }

  /// The control's exact mean in a stratum.
  func mean(of stratum: StratifiedDesign.Stratum, masses: [Double], value v: Int) -> Double {
    guard level != nil else { return 0 }
    if let product = products[v] {
      let means = Self.productMeans(product.ratios, upTo: stratum.levels.max() ?? 0)
      let mean = stratum.levels.reduce(0.0) { $0 + masses[$1] * means[$1] } / stratum.mass
      return product.offset + product.start * mean
    }
    // (k/m) times the sum of the effects at level k.
    var total = 0.0
    for e in 0..<elements { total += effects[e * valueCount + v] }
    let expectedSize = stratum.levels.reduce(0.0) { $0 + masses[$1] * Double($1) } / stratum.mass
    return total * expectedSize / Double(elements)
  }

  /// Mean products over all subsets of size k, for k = 0...most.
  private static func productMeans(_ ratios: [Double], upTo most: Int) -> [Double] {
    var means = [1.0] + [Double](repeating: 0, count: most)
    for (index, ratio) in ratios.enumerated() {
      // Of the k-subsets of j elements, k/j contain the last one.
      let j = Double(index + 1)
      for k in stride(from: min(most, index + 1), through: 1, by: -1) {
        means[k] = means[k] * (j - Double(k)) / j + means[k - 1] * ratio * Double(k) / j
      }
    }
    return means
  }
}

/// The samples of one stratum for one value.
private struct StratumSample {
  let stratum: StratifiedDesign.Stratum
  let elements: Int
  let masses: [Double]
  let values: [Double]
  let controls: [Double]?
  let controlMean: Double

  private var count: Double { Double(values.count) }

  /// 1 - n/N for one level without replacement, 1 for a stratum of several levels.
  private var finitePopulation: Double {
    guard stratum.levels.count == 1 else { return 1 }
    return max(0, 1 - count / Binomial.coefficient(elements, stratum.levels[0]))
  }

  private func centred() -> (cross: Double, square: Double) {
    guard let controls, values.count > 1 else { return (0, 0) }
    let v = values.reduce(0, +) / count
    let c = controls.reduce(0, +) / count
    var cross = 0.0
    var square = 0.0
    for i in values.indices {
      cross += (values[i] - v) * (controls[i] - c)
      square += (controls[i] - c) * (controls[i] - c)
    }
    return (stratum.mass * cross, stratum.mass * square)
  }

  static func combine(_ samples: [StratumSample]) -> (mean: Double, plainMean: Double, variance: Double) {
    let sums = samples.map { $0.centred() }
    let cross = sums.reduce(0.0) { $0 + $1.cross }
    let square = sums.reduce(0.0) { $0 + $1.square }
    var mean = 0.0
    var plain = 0.0
    var moments: [Moments] = []
    for (index, sample) in samples.enumerated() {
      let otherSquare = square - sums[index].square
      let others = samples.count > 1 && otherSquare > 1e-12 * square && otherSquare > 0
      let beta = others ? (cross - sums[index].cross) / otherSquare : (square > 0 ? 1 : 0)
      var adjusted = Moments()
      var raw = Moments()
      for i in sample.values.indices {
        raw.add(sample.values[i])
        let control = sample.controls.map { beta * ($0[i] - sample.controlMean) } ?? 0
        adjusted.add(sample.values[i] - control)
      }
      mean += sample.stratum.mass * adjusted.mean
      plain += sample.stratum.mass * raw.mean
      moments.append(adjusted)
    }
    // Few samples give a poor variance: shrink each stratum's towards the pooled one.
    let degrees = moments.reduce(0) { $0 + max(0, $1.count - 1) }
    let pooled =
      degrees == 0
      ? 0 : moments.reduce(0.0) { $0 + Double(max(0, $1.count - 1)) * $1.variance } / Double(degrees)
    var variance = 0.0
    for (index, sample) in samples.enumerated() {
      let own = Double(max(0, moments[index].count - 1))
      let shrunk = (own * moments[index].variance + 4 * pooled) / (own + 4)
      let weight = sample.stratum.mass * sample.stratum.mass
      variance += weight * sample.finitePopulation * shrunk / sample.count
    }
    return (mean, plain, variance)
  }
}
