import Domains
import Foundation
import IR
import Operators
import TestSupport
import Testing

/// The table of assumed errors: as the guide shows it, and wide enough for the C library and for known kernels.
@Suite struct DeployedKernelTests {
  @Test func theGuideShowsTheTable() throws {
    let text = try String(
      contentsOf: SharedData.project.appendingPathComponent("docs/guides/float32.md"), encoding: .utf8)
    var rows: [String: [Double]] = [:]
    for line in text.split(separator: "\n") where line.hasPrefix("| ") {
      let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
      rows[cells[0]] = cells.dropFirst().prefix(3).compactMap { Double($0) }
    }
    for kernel in DeployedKernel.allCases {
      let error = kernel.error
      #expect(rows[kernel.rawValue] == [error.relative, error.perArgument, error.absolute], "\(kernel)")
    }
  }

  private static let float = DeployedRounding(.float32)

  /// Values of float32 kernels with the arguments at which they are furthest off: onnxruntime 1.32 and torch 2.15.
  @Test(
    arguments: [
      (Elu.elu() as any ElementwiseFunction, -1e-6, -1.0132789611816406e-06),
      (Elu.celu(), -1e-6, -1.0132789611816406e-06),
      (Elu.selu(), -1e-6, -1.7814450075093191e-06), (Gelu(), -5, -1.4901161193847656e-06),
      (Gelu(), -5.517189979553223, 0), (GeluTanh(), -5.151599884033203, -6.14119e-07),
      (Sigmoid(), -20, 0), (Sigmoid(), 17, 1.0000001192092896),
      (Tanh(), 8.638019561767578, 1.0000002384185791),
      (Silu(alpha: 1.702), -10.385600090026855, -1.54758e-06), (Silu(), -88.7238, 0),
      (HardSwish(), -2.9999, -4.98874e-05),
    ])
  func knownKernelsLieInside(_ f: any ElementwiseFunction, _ x: Double, _ value: Double) throws {
    let argument = Double(Float(x))
    let bounds = f.enclose(argument, argument, try #require(Self.float))
    #expect(bounds.lower <= value && value <= bounds.upper, "\(f.name) \(bounds)")
  }

  /// The float versions of the C library, and steps of known kernels in Float.
  @Test func floatFunctionsLieInside() throws {
    let rounding = try #require(Self.float)
    let functions: [(any ElementwiseFunction, (Float) -> Float)] = [
      (Exp(), { expf($0) }), (Log(), { logf($0) }), (Tanh(), { tanhf($0) }), (Erf(), { erff($0) }),
      (Sin(), { sinf($0) }), (Cos(), { cosf($0) }), (Tan(), { tanf($0) }), (Asin(), { asinf($0) }),
      (Acos(), { acosf($0) }), (Atan(), { atanf($0) }), (Sinh(), { sinhf($0) }), (Cosh(), { coshf($0) }),
      (Asinh(), { asinhf($0) }), (Acosh(), { acoshf($0) }), (Atanh(), { atanhf($0) }),
      (Sigmoid(), { 1 / (1 + expf(-$0)) }), (Softsign(), { $0 / (1 + abs($0)) }),
      (Elu.elu(), { $0 < 0 ? expf($0) - 1 : $0 }), (Softplus(), { max($0, 0) + log1pf(expf(-abs($0))) }),
      (Gelu(), { 0.5 * $0 * (1 + erff($0 * 0.70710678)) }), (Silu(), { $0 / (1 + expf(-$0)) }),
      (HardSwish(), { $0 * min(max($0 + 3, 0), 6) / 6 }), (HardSigmoid(), { max(0, min(1, 0.2 * $0 + 0.5)) }),
      (Mish(), { $0 * tanhf(log1pf(expf($0))) }), (Pow(2.5), { powf($0, 2.5) }),
      (Pow(-0.5), { powf($0, -0.5) }),
      (Square(), { $0 * $0 }), (Reciprocal(), { 1 / $0 }), (Sqrt(), { $0.squareRoot() }),
      (Conversion(), { $0 }),
      (Shrink(lambda: 0.5, bias: 0.25), { $0 < -0.5 ? $0 + 0.25 : $0 > 0.5 ? $0 - 0.25 : 0 }),
    ]
    for (f, kernel) in functions {
      var outside = 0
      for bits in stride(from: UInt32(0), to: UInt32.max - 70_001, by: 70_001) {
        let x = Float(bitPattern: bits)
        if x.isNaN { continue }
        let bounds = f.enclose(Double(x), Double(x), rounding)
        let value = Double(kernel(x))
        let isInside =
          value.isNaN
          ? bounds.lower == -.infinity && bounds.upper == .infinity
          : bounds.lower <= value && value <= bounds.upper
        if !isInside {
          if outside == 0 { Issue.record("\(f.name)(\(x)) = \(value) outside \(bounds)") }
          outside += 1
        }
      }
      #expect(outside == 0, "\(f.name)")
    }
  }

  /// Functions of what may be no number, or lies outside their domain.
  @Test func noNumbersStayNoNumbers() {
    for f in [Relu(), Sigmoid(), Clip(0, 1), Exp(), Tanh(), Floor()] as [any ElementwiseFunction] {
      let bounds = f.enclose(-.infinity, .infinity, nil)
      #expect(bounds.lower == -.infinity && bounds.upper == .infinity, "\(f.name)")
    }
    for (f, x) in [(Log(), -1), (Sqrt(), -1e-9), (Acos(), 1.5), (Sin(), .infinity), (Silu(), -.infinity)]
      as [(any ElementwiseFunction, Double)]
    {
      let bounds = f.enclose(x, x, nil)
      #expect(bounds.lower == -.infinity && bounds.upper == .infinity, "\(f.name)")
    }
    #expect(IsNaN().enclose(-.infinity, .infinity, nil) == (0, 1))
    #expect(IsNaN().enclose(0, 1, nil) == (0, 0))
    #expect(Exp().enclose(-.infinity, 0, nil).lower == 0)
    #expect(Log().enclose(0, 1, nil).lower == -.infinity)
  }
}
