import IR

/// The assumed errors of the functions of deployed networks, in one table: docs/guides/float32.md shows it and says what it
/// rests on; a test compares the two.
///
/// Kernels differ. A row covers the float32 kernels of glibc (through numpy), onnxruntime and torch, as measured over the
/// floats of all magnitudes, with a factor of about two to spare: Elu as alpha (e^x - 1), Gelu as x / 2 (1 + erf(x / sqrt 2)),
/// the logistic function as a quotient of polynomials that is 0 below -18.
public enum DeployedKernel: String, Sendable, CaseIterable {
  case exp = "Exp"
  case log = "Log"
  case sqrt = "Sqrt"
  case reciprocal = "Reciprocal"
  case square = "Square"
  case pow = "Pow"
  case sigmoid = "Sigmoid"
  case tanh = "Tanh"
  case erf = "Erf"
  case softplus = "Softplus"
  case softsign = "Softsign"
  case elu = "Elu"
  case gelu = "Gelu"
  case silu = "Silu"
  case mish = "Mish"
  case hardSwish = "HardSwish"
  case hardSigmoid = "HardSigmoid"
  case leakyRelu = "LeakyRelu"
  case shrink = "Shrink"
  case sin = "Sin"
  case tan = "Tan"
  case asin = "Asin"
  case acos = "Acos"
  case atan = "Atan"
  case sinh = "Sinh"
  case cosh = "Cosh"
  case asinh = "Asinh"
  case acosh = "Acosh"
  case atanh = "Atanh"
  case conversion = "Cast"

  /// The error for the function with its usual parameters; types with parameters scale it.
  public var error: KernelError {
    switch self {
    case .exp, .log, .pow, .softsign, .atan, .sinh, .cosh, .asinh, .acosh, .atanh: KernelError(relative: 8)
    case .sqrt, .reciprocal, .square, .leakyRelu, .shrink, .conversion: KernelError(relative: 2)
    case .sigmoid: KernelError(absolute: 6, range: 0...1.000001)
    case .tanh: KernelError(relative: 12)
    case .erf: KernelError(relative: 4)
    case .softplus, .tan: KernelError(relative: 12)
    case .acos: KernelError(relative: 12)
    case .asin: KernelError(relative: 16)
    case .elu: KernelError(relative: 4, absolute: 4)
    case .gelu: KernelError(perArgument: 12, overflowsEarly: true)
    case .silu: KernelError(perArgument: 8)
    case .mish: KernelError(perArgument: 10)
    case .hardSwish: KernelError(perArgument: 5, overflowsEarly: true)
    case .hardSigmoid: KernelError(relative: 1, absolute: 2, range: 0...1)
    case .sin: KernelError(relative: 8, absolute: 2)
    }
  }
}
