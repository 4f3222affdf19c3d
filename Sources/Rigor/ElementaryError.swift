/// Proven or documented error bounds of the elementary functions that the toolkit calls.
///
/// The GNU C library documents the largest known error of every function of libm in units in the last place
/// (manual, "Known Maximum Errors in Math Functions", x86_64, double): 1 for exp, exp2, expm1, log, log1p, pow, sin,
/// cos, tan, asin, acos, atan and erf; 2 for sinh, cosh, tanh, asinh, acosh and atanh; 5 for erfc; sqrt is correctly
/// rounded.
public enum ElementaryError {
  /// The unit roundoff of Double.
  public static let unit = 0x1p-53

  /// Relative error of one call: 8 ulps. One ulp of v is at most 2^-52 |v|, so 5 ulps (the largest documented error)
  /// are at most 5 * 2^-52 < 2^-49.
  public static let call = 0x1p-49

  /// Relative error of a short formula without cancellation, whose factors and terms of equal sign are at most six
  /// calls and eight roundings: 6 * 2^-49 + 8 * 2^-53 and the products of these are below 2^-46.
  public static let formula = 0x1p-46

  /// Absolute error that covers every loss to underflow in such a formula: a subnormal result is off by at most 8 ulps,
  /// 2^-1071, and at most 2^10 multiplies it later.
  public static let underflow = 0x1p-1060
}
