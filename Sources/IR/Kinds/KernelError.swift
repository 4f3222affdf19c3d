/// How far a deployed implementation of a function may be from the function.
///
/// Sizes are in units of the roundoff u of the type that is computed in (2^-24 for float32). For every x whose value does
/// not overflow, |computed - f(x)| <= u (relative |f(x)| + perArgument |x| + absolute) and what underflow loses.
public struct KernelError: Sendable, Hashable {
  /// Units of |f(x)|. An error that is relative only keeps the sign of the value.
  public var relative: Double
  /// Units of |x|: for x times a factor that is computed with an absolute error.
  public var perArgument: Double
  /// Units of 1.
  public var absolute: Double
  /// Whether steps on the way may overflow where the value does not: then nothing is said beyond 1/64 of the largest
  /// number of the type.
  public var overflowsEarly: Bool
  /// What kernels return always lies in this range.
  public var range: ClosedRange<Double>

  public init(
    relative: Double = 0, perArgument: Double = 0, absolute: Double = 0, overflowsEarly: Bool = false,
    range: ClosedRange<Double> = -Double.infinity...Double.infinity
  ) {
    self.relative = relative
    self.perArgument = perArgument
    self.absolute = absolute
    self.overflowsEarly = overflowsEarly
    self.range = range
  }

  /// The function is computed without rounding.
  public static let exact = KernelError()

  public var isExact: Bool { relative == 0 && perArgument == 0 && absolute == 0 }
}
