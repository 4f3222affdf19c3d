import Foundation
import IR
import Operators
import Rigor
import Testing

/// Against values to 40 digits, compared as exact rationals: no tolerance anywhere.
@Suite struct ElementwiseReferenceTests {
  /// 40 digits stand for the real value up to this relative error.
  static let tableError = Rational(1e-39)

  @Test(arguments: tabulated.map(\.name)) func values(_ name: String) throws {
    let f = try #require(tabulated.first { $0.name == name }).function
    for point in try #require(referenceTable()[name]) {
      let v: Double = f.value(point.x)
      let error = (Rational(v) - point.value).magnitude
      let claimed = (f as? any SmoothFunction)?.valueError(point.x, v)
      let allowed: Double = claimed ?? 0x1p-50 * max(v.magnitude, 1)
      #expect(
        error <= Rational(allowed) + Self.tableError * point.value.magnitude, "\(name)(\(point.x)) = \(v)")
      // Accuracy: 1e-13 relative, or what conditioning near zeros of the function leaves.
      #expect((claimed ?? 0) <= 1e-12 * v.magnitude + 1e-25, "\(name)(\(point.x)) claims only \(allowed)")
      let single: Float = f.value(Float(point.x))
      let expected: Double = f.value(Double(Float(point.x)))
      if expected.magnitude < 0x1p127 {
        #expect(
          (Double(single) - expected).magnitude <= 0x1p-22 * expected.magnitude + 0x1p-140,
          "\(name)(\(point.x))")
      }
    }
  }

  /// Ranges, lines at default and at random slopes: exact comparison at every tabulated point of the interval.
  @Test(arguments: tabulated.map(\.name)) func bounds(_ name: String) throws {
    let f = try #require(tabulated.first { $0.name == name }).function
    let points = try #require(referenceTable()[name])
    var random = SplitMix(state: 11)
    for first in points.indices {
      for step in [0, 1, 2, 3, 5, 9, 20, 43] {
        let last = min(first + step, points.count - 1)
        let l = points[first].x
        let u = points[last].x
        let inside = points[first...last]
        let range = f.range(l, u)
        for p in inside {
          let slack = Self.tableError * p.value.magnitude
          if range.lower.isFinite {
            #expect(Rational(range.lower) <= p.value + slack, "\(name) on \(l), \(u)")
          }
          if range.upper.isFinite {
            #expect(p.value - slack <= Rational(range.upper), "\(name) on \(l), \(u)")
          }
        }
        if l == u { continue }
        let slopes = f.slopes(l, u, .adaptive)
        var trials: [(Double, Side)] = [(slopes.below, .below), (slopes.above, .above)]
        for side in [Side.below, .above] {
          let limits = f.slopeLimits(side: side, l, u)
          trials += [(limits.lowerBound, side), (limits.upperBound, side)]
          trials.append((f.derivative(Double.random(in: l...u, using: &random)), side))
          trials.append((Double.random(in: -2...2, using: &random), side))
          trials.append((0, side))
        }
        for (slope, side) in trials where slope.isFinite {
          let (t, _) = f.support(slope: slope, side: side, l, u)
          if t.isInfinite { continue }
          let line = { (x: Double) in Rational(slope) * Rational(x) + Rational(t) }
          for p in inside {
            #expect(
              side == .below
                ? line(p.x) <= p.value + Self.tableError * p.value.magnitude
                : line(p.x) >= p.value - Self.tableError * p.value.magnitude,
              "\(name) on \(l), \(u): slope \(slope) \(side) at \(p.x)")
          }
        }
      }
    }
  }
}

/// Properties that need no reference values.
@Suite struct ElementwiseLineTests {
  static let all = tabulated + straight
  /// Intervals inside the domain: crossing zones, narrow, far out.
  static func intervals(_ f: any ElementwiseFunction, _ name: String) -> [(Double, Double)] {
    var random = SplitMix(state: 5)
    var result: [(Double, Double)] = []
    var low = max(f.domain.lowerBound, -30)
    var high = min(f.domain.upperBound, 30)
    if name.hasSuffix("+") || name.hasPrefix("Pow-") { low = 1e-3 }
    if name == "Reciprocal-" || name == "Pow-3" { (low, high) = (-30, -1e-3) }
    if name == "Tan" { (low, high) = (-1.5, 1.5) }
    for k in 0..<400 {
      let scale = k % 4 == 0 ? 30 : k % 4 == 1 ? 3 : k % 4 == 2 ? 0.3 : 1e-6
      let center = Double.random(in: low...high, using: &random)
      let a = max(low, center - Double.random(in: 0...scale, using: &random))
      let b = min(high, center + Double.random(in: 0...scale, using: &random))
      if a < b { result.append((a, b)) }
    }
    return result
  }

  @Test(arguments: all.map(\.name)) func linesHoldAndTouch(_ name: String) throws {
    let f = try #require(Self.all.first { $0.name == name }).function
    var random = SplitMix(state: 3)
    let jumps = f is any PiecewiseFunction && !(f is any ContinuousPiecewiseFunction)
    for (l, u) in Self.intervals(f, name) {
      let slopes = f.slopes(l, u, .adaptive)
      var trials: [(Double, Side)] = [(slopes.below, .below), (slopes.above, .above)]
      for side in [Side.below, .above] {
        let limits = f.slopeLimits(side: side, l, u)
        trials.append((limits.lowerBound, side))
        trials.append((Double.random(in: limits, using: &random), side))
        trials.append((Double.random(in: -1.5...1.5, using: &random), side))
      }
      for (slope, side) in trials {
        let (t, touch) = f.support(slope: slope, side: side, l, u)
        if name == "Log" && l == 0 || name == "Atanh" && max(l.magnitude, u.magnitude) == 1 { continue }
        #expect(t.isFinite, "\(name) on \(l), \(u)")
        let sign: Double = side == .below ? 1 : -1
        for k in 0...40 {
          let x = k == 40 ? u : l + (u - l) * Double(k) / 40
          let v: Double = f.value(x)
          let gap = sign * (v - (slope * x + t))
          let tolerance = 4e-15 * (v.magnitude + (slope * x).magnitude + t.magnitude)
          #expect(gap >= -tolerance, "\(name) on \(l), \(u): slope \(slope) \(side) at \(x): \(gap)")
        }
        #expect(touch >= l && touch <= u)
        if !jumps {
          let v: Double = f.value(touch)
          let gap = sign * (v - (slope * touch + t))
          let size = v.magnitude + (slope * touch).magnitude + t.magnitude
          #expect(gap <= 1e-12 * size + 1e-14, "\(name) on \(l), \(u): slope \(slope) \(side) gap \(gap)")
        }
      }
    }
  }

  /// The default lines leave little more area than the best of a fine search over slopes.
  @Test(arguments: all.map(\.name)) func defaultLinesAreTight(_ name: String) throws {
    let f = try #require(Self.all.first { $0.name == name }).function
    for (l, u) in Self.intervals(f, name).prefix(120) {
      let slopes = f.slopes(l, u, .adaptive)
      let middle = (l + u) / 2
      if name == "Log" && l == 0 || name == "Atanh" && max(l.magnitude, u.magnitude) == 1 { continue }
      for (slope, side) in [(slopes.below, Side.below), (slopes.above, .above)] {
        let sign: Double = side == .below ? 1 : -1
        let own = sign * (slope * middle + f.support(slope: slope, side: side, l, u).intercept)
        var best = -Double.infinity
        for k in 0...60 {
          let limits = f.slopeLimits(side: side, l, u)
          let s = limits.lowerBound + (limits.upperBound - limits.lowerBound) * Double(k) / 60
          best = max(best, sign * (s * middle + f.support(slope: s, side: side, l, u).intercept))
        }
        // The least area; S-shapes with a table step may give up a little of it (a step of 1/100 moves the tangent through
        // an end point by less), and the exponential's tangent stays near the lower end.
        let range = f.range(l, u)
        let spread = range.upper - range.lower
        let step = (f as? any SmoothFunction)?.tableStep ?? 0
        // ReLU-like functions choose by the steepness of their chord, as published.
        if name == "Exp" || name == "LeakyRelu" || step > 0 && u - l < 0.1 { continue }
        let allowed =
          step > 0 ? 0.02 * spread + 1e-12 : 1e-9 * (best.magnitude + (slope * middle).magnitude) + 1e-12
        #expect(own >= best - allowed, "\(name) on \(l), \(u) \(side): \(best - own) of \(spread)")
      }
    }
  }

  @Test(arguments: all.map(\.name)) func derivatives(_ name: String) throws {
    let f = try #require(Self.all.first { $0.name == name }).function
    for (l, u) in Self.intervals(f, name).prefix(100) {
      let x = (l + u) / 2
      let h = 1e-5 * max(1, x.magnitude)
      let distance = min(x - f.domain.lowerBound, f.domain.upperBound - x)
      if distance < 1e-3 || x.magnitude < 1e-2 { continue }
      let plus: Double = f.value(x + h)
      let minus: Double = f.value(x - h)
      let center: Double = f.value(x)
      let left = (center - minus) / h
      let right = (plus - center) / h
      // Not across a kink or a jump.
      if (left - right).magnitude > 1e-2 * max(1, left.magnitude) { continue }
      let d = f.derivative(x)
      #expect((d - (plus - minus) / (2 * h)).magnitude <= 1e-5 * max(1, d.magnitude), "\(name) at \(x)")
    }
  }

  @Test(arguments: all.map(\.name)) func extremeArguments(_ name: String) throws {
    let f = try #require(Self.all.first { $0.name == name }).function
    let numbers: [Double] = [
      -.infinity, -1.7e308, -1e200, -1e30, -1e9, -745.2, -1, -5e-324, 0, 5e-324, 1e-310, 1e-30, 1, 1.0.nextUp,
      710,
      1e9, 1e30, 1e200, 1.7e308, .infinity,
    ]
    for l in numbers {
      for u in numbers where l <= u {
        let range = f.range(l, u)
        #expect(!range.lower.isNaN && !range.upper.isNaN && range.lower <= range.upper, "\(name) \(l) \(u)")
        let slopes = f.slopes(l, u, .adaptive)
        #expect(slopes.below.isFinite && slopes.above.isFinite, "\(name) \(l) \(u) \(slopes)")
        for slope in [slopes.below, slopes.above, 0, 1, -1, 1e-300, 1e300] {
          for side in [Side.below, .above] {
            let (t, touch) = f.support(slope: slope, side: side, l, u)
            #expect(!t.isNaN && !touch.isNaN, "\(name) \(l) \(u) \(slope)")
            #expect(side == .below ? t < .infinity : t > -.infinity, "\(name) \(l) \(u) \(slope) \(t)")
            for x in numbers where l <= x && x <= u && x.isFinite && t.isFinite {
              let v: Double = f.value(x)
              let p = slope * x
              if !v.isFinite || !p.isFinite { continue }
              let gap = (side == .below ? 1 : -1) * (v - p - t)
              #expect(
                gap >= -1e-14 * (v.magnitude + p.magnitude + t.magnitude),
                "\(name) \(l) \(u) \(slope) at \(x)")
            }
          }
        }
        let limits = f.slopeLimits(side: .below, l, u)
        #expect(limits.lowerBound.isFinite && limits.upperBound.isFinite)
      }
    }
    let range = f.range(.nan, 1)
    #expect(!range.lower.isNaN && !range.upper.isNaN)
  }
}

/// Functions that are rational: the lines are checked exactly, at random points.
@Suite struct ElementwiseExactTests {
  static func exact(_ name: String, _ x: Rational) -> Rational {
    switch name {
    case "Square": x * x
    case "Pow3": x * x * x
    case "Reciprocal": Rational(1) / x
    case "Softsign": x / (Rational(1) + x.magnitude)
    case "HardSwish": x <= -3 ? 0 : x >= 3 ? x : x * (x + 3) / 6
    case "LeakyRelu": x < 0 ? Rational(0.1) * x : x
    case "Clip": max(Rational(-0.3), min(Rational(0.7), x))
    default: x.magnitude
    }
  }
  static let functions: [(String, any ElementwiseFunction)] = [
    ("Square", Square()), ("Pow3", Pow(3)), ("Reciprocal", Reciprocal()), ("Softsign", Softsign()),
    ("HardSwish", HardSwish()), ("LeakyRelu", Relu(negativeSlope: 0.1)), ("Clip", Clip(-0.3, 0.7)),
    ("Abs", Abs()),
  ]

  @Test(arguments: functions.map(\.0)) func lines(_ name: String) throws {
    let f = try #require(Self.functions.first { $0.0 == name }).1
    var random = SplitMix(state: 21)
    for _ in 0..<300 {
      let scale = pow(10, Double.random(in: -12...12, using: &random))
      var a = Double.random(in: -1...1, using: &random) * scale
      var b = Double.random(in: -1...1, using: &random) * scale
      if name == "Reciprocal" { (a, b) = (a.magnitude + scale * 1e-3, b.magnitude + scale * 1e-3) }
      let (l, u) = (min(a, b), max(a, b))
      let slopes = f.slopes(l, u, .adaptive)
      for (slope, side) in [
        (slopes.below, Side.below), (slopes.above, .above), (slopes.above, .below), (slopes.below, .above),
        (slopes.below * 0.7, .below), (slopes.above * 1.3, .above),
      ] {
        let t = f.support(slope: slope, side: side, l, u).intercept
        for _ in 0..<20 {
          let x = Double.random(in: l...u, using: &random)
          let line = Rational(slope) * Rational(x) + Rational(t)
          let value = Self.exact(name, Rational(x))
          #expect(side == .below ? line <= value : line >= value, "\(name) \(l) \(u) \(slope) \(side) \(x)")
        }
      }
      let range = f.range(l, u)
      for x in [l, u, l / 2 + u / 2] {
        let value = Self.exact(name, Rational(x))
        #expect(Rational(range.lower) <= value && value <= Rational(range.upper))
      }
    }
  }
}
