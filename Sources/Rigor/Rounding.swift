/// Bounds on the rounding error of floating-point sums of products (Higham, "Accuracy and Stability of Numerical
/// Algorithms", 2002, chapter 3). They hold for any order of summation, with and without fused multiply-add.
public enum Rounding {
  /// The unit roundoff of Double, u = 2^-53.
  public static let unit = 0x1p-53
  /// The unit roundoff of Float, 2^-24.
  public static let unit32 = 0x1p-24
  /// What one product or sum can lose below the normal range of Double, with room to spare.
  public static let underflow = 0x1p-1022
  /// The same for Float: half the smallest subnormal is 2^-150, and some deployments flush subnormals to zero, which
  /// loses up to 2^-126.
  public static let underflow32 = 0x1p-126

  /// g(k) = (k+2) u / (1 - (k+2) u), rounded up: an accumulation of k roundings is wrong by at most g(k) times the sum
  /// of the magnitudes. The two spare roundings pay for forming this constant and for its use.
  ///
  /// Precondition: k < 2^51.
  public static func gamma(_ k: Int) -> Double { gamma(k, unit: unit) }

  /// The same for Float arithmetic; infinite when k is so large (2^23) that nothing can be said.
  public static func gamma32(_ k: Int) -> Double { gamma(k, unit: unit32) }

  /// The same for any unit roundoff that is a power of two; infinite from k = 1 / (2 unit) on.
  public static func gamma(_ k: Int, unit: Double) -> Double {
    if Double(k + 2) * unit >= 0.5 { return .infinity }
    // (k+2) * unit is exact (a small integer times a power of two); one subtraction and one division round once each,
    // and nextUp twice covers both.
    let x = Double(k + 2) * unit
    return (x / (1 - x)).nextUp.nextUp
  }
}
