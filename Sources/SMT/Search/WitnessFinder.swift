import Rigor

/// Runs the network in its deployed arithmetic: float32 inputs to float32 outputs.
public typealias DeployedRun = @Sendable ([Float]) throws -> [Float]

/// A small generator with reproducible results (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// Uniform in 0..<1, from the top 53 bits.
  mutating func unit() -> Double { Double(next() >> 11) * 0x1p-53 }
}

/// Searches a box for violations and confirms candidates in exact arithmetic and in float32.
struct WitnessFinder {
  let prepared: PreparedQuery
  let deployed: DeployedRun?
  var generator: SeededGenerator
  var pointsTried = 0
  /// A violation in exact arithmetic that float32 does not share, kept until a better one is found.
  private(set) var tie: Witness?

  init(_ prepared: PreparedQuery, deployed: DeployedRun?, seed: UInt64) {
    self.prepared = prepared
    self.deployed = deployed
    generator = SeededGenerator(seed: seed)
  }

  /// Confirms a candidate: rounds it to float32 inside the exact box where there is room, then checks it.
  ///
  /// - Returns: The witness, nil if the point does not violate the property.
  mutating func confirm(_ x: [Double], clauses: [Int]) throws -> Witness? {
    var point: [Rational] = []
    var floats: [Float] = []
    for (i, value) in x.enumerated() {
      let (exact, float) = Self.snap(value, prepared.query.lower[i], prepared.query.upper[i])
      point.append(exact)
      floats.append(float)
    }
    return try confirm(exactly: point, floats: floats, clauses: clauses)
  }

  /// The float32 nearest to a value within exact bounds; an exact bound where no float32 lies between them.
  static func snap(_ value: Double, _ lower: Rational, _ upper: Rational) -> (exact: Rational, float: Float) {
    var float = Float(value)
    if !float.isFinite { float = lower.nearestFloat }
    if Rational(float) < lower { float = lower.roundedUpToFloat }
    if Rational(float) > upper { float = upper.roundedDownToFloat }
    if float.isFinite {
      let exact = Rational(float)
      if exact >= lower && exact <= upper { return (exact, float) }
    }
    let exact = value.isFinite ? max(lower, min(upper, Rational(value))) : lower
    return (exact, exact.nearestFloat)
  }

  /// Checks an exact point.
  mutating func confirm(exactly point: [Rational], floats: [Float], clauses: [Int]) throws -> Witness? {
    let outputs = prepared.network.exactOutputs(at: point)
    let satisfied = prepared.query.satisfiedClauses(at: outputs).filter { clauses.contains($0) }
    guard let first = satisfied.first else { return nil }
    var witness = Witness(point: point, float32: floats, clause: first, violatesInFloat32: nil)
    guard let deployed else { return witness }
    let run = try deployed(floats)
    if run.allSatisfy(\.isFinite) {
      let exactRun = run.map { Rational($0) }
      let shared = prepared.query.satisfiedClauses(at: exactRun)
      witness.violatesInFloat32 = !shared.isEmpty
      if let clause = shared.first(where: { satisfied.contains($0) }) { witness.clause = clause }
    } else {
      witness.violatesInFloat32 = false
    }
    return witness
  }

  /// Takes a confirmed witness, or keeps it as the second best when float32 falls on the other side.
  mutating func accept(_ witness: Witness?) -> Witness? {
    guard let witness else { return nil }
    if witness.violatesInFloat32 == false {
      if tie == nil { tie = witness }
      return nil
    }
    return witness
  }

  /// Descends from a point towards the nearest clause by signed gradient steps, confirming what looks like a violation.
  mutating func descend(
    from start: [Double], lower: [Double], upper: [Double], clauses: [Int], steps: Int
  ) throws -> Witness? {
    let network = prepared.network
    let free = prepared.freeInputs
    var x = start
    var rate = 0.25
    var attempts = 0
    var lastExcess = Double.infinity
    for step in 0...steps {
      pointsTried += 1
      let values = network.evaluate(x)
      let near = prepared.nearest(clauses, at: values)
      if near.excess <= 0 {
        attempts += 1
        if let witness = accept(try confirm(x, clauses: clauses)) { return witness }
        if attempts > 6 { return nil }
      }
      if step == steps { break }
      if near.excess >= lastExcess { rate *= 0.6 }
      lastExcess = near.excess
      let gradient = network.inputGradient(of: prepared.clauses[near.clause][near.row].row, at: values)
      var moved = false
      for i in free where gradient[i] != 0 {
        let target = x[i] - (gradient[i] > 0 ? 1 : -1) * rate * (upper[i] - lower[i])
        let next = min(upper[i], max(lower[i], target))
        if next != x[i] { moved = true }
        x[i] = next
      }
      if !moved { break }
    }
    return nil
  }

  /// Tries the centre, random points and corners of a box, each followed by a descent.
  mutating func search(lower: [Double], upper: [Double], clauses: [Int], starts: Int, steps: Int) throws
    -> Witness?
  {
    for k in 0..<starts {
      var x = lower
      for i in x.indices {
        let share: Double
        switch k {
        case 0: share = 0.5
        case _ where k % 3 == 1: share = generator.unit() < 0.5 ? 0 : 1
        default: share = generator.unit()
        }
        x[i] = min(upper[i], lower[i] + share * (upper[i] - lower[i]))
      }
      if let witness = try descend(from: x, lower: lower, upper: upper, clauses: clauses, steps: steps) {
        return witness
      }
    }
    return nil
  }
}
