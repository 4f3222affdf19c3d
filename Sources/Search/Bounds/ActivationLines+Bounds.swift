import Domains
import IR
import Rigor

/// What is known of a neuron in a subproblem.
enum NeuronState: Int8, Sendable {
  /// The function is one straight line: for a ReLU, 0.
  case inactive = -1
  case unstable = 0
  /// For a ReLU, the identity.
  case active = 1
}

extension ActivationLines {
  /// Sets the lines of one ReLU in one place.
  ///
  /// Above: the chord from (l, 0) to (u, u). Below: the line through the origin with slope 0 or 1, whichever has the
  /// smaller area, or the given slope in [0, 1].
  @inline(__always)
  mutating func setRelu(_ place: Int, _ l: Double, _ u: Double, slope: Double? = nil) {
    if l >= 0 {
      setState(place, .active)
    } else if u <= 0 {
      setState(place, .inactive)
    } else {
      let s = u / (u - l)
      // s x + t must reach 0 at l and u at u; both requirements round a few times.
      let needed = max(-s * l, u - s * u)
      aboveSlope[place] = s
      aboveIntercept[place] = (needed + 4 * Rounding.unit * (abs(s * l) + u)).nextUp
      belowSlope[place] = slope ?? (u > -l ? 1 : 0)
      belowIntercept[place] = 0
    }
  }

  /// Sets the exact line of a stable ReLU.
  @inline(__always)
  mutating func setState(_ place: Int, _ state: NeuronState) {
    let slope: Double = state == .active ? 1 : 0
    aboveSlope[place] = slope
    belowSlope[place] = slope
    aboveIntercept[place] = 0
    belowIntercept[place] = 0
  }

  /// Sets the lines of any elementwise function, with the charge for rounding.
  mutating func set(
    _ place: Int, _ f: any ElementwiseFunction, _ l: Double, _ u: Double, below: Double? = nil,
    above: Double? = nil,
    neurons: Int, extraCharge: Double
  ) {
    if charge.isEmpty { charge = [Double](repeating: 0, count: belowSlope.count) }
    let g = Rounding.gamma(neurons + 3)
    if let piece = f.linearPiece(l, u) {
      belowSlope[place] = piece.slope
      aboveSlope[place] = piece.slope
      belowIntercept[place] = piece.intercept
      aboveIntercept[place] = piece.intercept
    } else if l < u {
      let slopes = f.slopes(l, u, .adaptive)
      belowSlope[place] = below ?? slopes.below
      aboveSlope[place] = above ?? slopes.above
      belowIntercept[place] = f.support(slope: belowSlope[place], side: .below, l, u).intercept
      aboveIntercept[place] = f.support(slope: aboveSlope[place], side: .above, l, u).intercept
      if !belowIntercept[place].isFinite || !belowSlope[place].isFinite {
        belowSlope[place] = 0
        belowIntercept[place] = f.range(l, u).lower
      }
      if !aboveIntercept[place].isFinite || !aboveSlope[place].isFinite {
        aboveSlope[place] = 0
        aboveIntercept[place] = f.range(l, u).upper
      }
    } else {
      let range = f.range(l, u)
      belowSlope[place] = 0
      aboveSlope[place] = 0
      belowIntercept[place] = range.lower
      aboveIntercept[place] = range.upper
    }
    let slope = max(abs(belowSlope[place]), abs(aboveSlope[place]))
    let intercept = max(abs(belowIntercept[place]), abs(aboveIntercept[place]))
    charge[place] = g * intercept + 2 * Rounding.unit * slope * max(abs(l), abs(u)) + extraCharge
  }
}
