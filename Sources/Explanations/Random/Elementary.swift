import Foundation

// Foundation's overloads named once, so that files that need no other part of it do not import it.
@inline(__always) func logarithm(_ x: Double) -> Double { log(x) }
@inline(__always) func exponential(_ x: Double) -> Double { exp(x) }
@inline(__always) func cosine(_ x: Double) -> Double { cos(x) }
@inline(__always) func sine(_ x: Double) -> Double { sin(x) }
@inline(__always) func power(_ x: Double, _ y: Double) -> Double { pow(x, y) }
/// log(n!), from the gamma function.
func logFactorial(_ n: Int) -> Double {
  var sign: Int32 = 0
  return lgamma_r(Double(n) + 1, &sign)
}
