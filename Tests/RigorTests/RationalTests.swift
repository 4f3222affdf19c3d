import Foundation
import Rigor
import Testing

@Suite struct RationalTests {
  @Test func arithmeticIsExact() throws {
    let a = try #require(Rational("1/3"))
    let b = try #require(Rational("-2/7"))
    #expect((a + b).description == "1/21")
    #expect((a - b).description == "13/21")
    #expect((a * b).description == "-2/21")
    #expect((a / b).description == "-7/6")
    #expect(a > b && b < 0 && -b > 0)
    #expect(a.reciprocal == 3)
    var c = a
    let kept = c
    c += b
    #expect(kept == a && c != a, "a copy must not see a later change")
    #expect(Rational(-7, 2).floor == -4 && Rational(-7, 2).ceiling == -3)
    #expect(Rational(6, -4).description == "-3/2")
    #expect(Set([Rational(1, 2), Rational(2, 4), Rational(3, 4)]).count == 2)
  }

  @Test(arguments: [
    ("1.25", "5/4"), ("-0.1", "-1/10"), ("1e3", "1000"), ("2.5E-2", "1/40"), ("+7", "7"), ("10/4", "5/2"),
    ("0.1/0.3", "1/3"), (".5", "1/2"), ("5.", "5"), ("-0", "0"),
  ])
  func readsText(text: String, reduced: String) throws {
    #expect(try #require(Rational(text)).description == reduced)
  }

  @Test(arguments: [
    "", "-", ".", "1/0", "1/", "/2", "1e", "1e+", "0x10", "1 2", "nan", "inf", "1e999999999", "1.2.3", "--1",
  ])
  func refusesText(text: String) {
    #expect(Rational(text) == nil)
  }

  @Test func floatingPointConversionsAreExactAndDirected() {
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<2000 {
      let x = Double(bitPattern: UInt64.random(in: .min ... .max, using: &generator))
      guard x.isFinite else { continue }
      let r = Rational(x)
      #expect(r.roundedDown == x && r.roundedUp == x && r.nearestDouble == x)
      let above = r + Rational(1, timesTwoTo: -1200)
      #expect(above.roundedDown == x && above.roundedUp == x.nextUp)
      #expect(r.decimalText.flatMap { Double($0) } == x)
      #expect(r.decimalText.flatMap { Rational($0) } == r)
    }
    #expect(Rational(0.1).description == "3602879701896397/36028797018963968")
    #expect(Rational(1, 10).nearestDouble == 0.1 && Rational(1, 10).nearestFloat == Float(0.1))
    #expect(Rational(1, 3).roundedDown == 1.0 / 3.0 && Rational(1, 3).decimalText == nil)
    let half = Rational(1) + Rational(1, timesTwoTo: -53)
    #expect(half.nearestDouble == 1 && (half + Rational(1, timesTwoTo: -80)).nearestDouble == 1.0.nextUp)
    let huge = Rational(1, timesTwoTo: 2000)
    #expect(huge.roundedDown == .greatestFiniteMagnitude && huge.roundedUp == .infinity)
    #expect((-huge).roundedUp == -.greatestFiniteMagnitude && huge.nearestDouble == .infinity)
    let tiny = Rational(1, timesTwoTo: -1080)
    #expect(tiny.roundedDown == 0 && tiny.roundedUp == .leastNonzeroMagnitude && tiny.nearestDouble == 0)
    #expect(Rational(Double(16_777_217)).roundedDownToFloat == 16_777_216)
    #expect(Rational(Double(16_777_217)).roundedUpToFloat == 16_777_218)
    #expect(Rational(exactly: Double.nan) == nil && Rational(exactly: -Float.infinity) == nil)
  }

  @Test func decimalReadingAgreesWithTheStandardLibrary() throws {
    for _ in 0..<500 {
      let x = Double.random(in: -1e6...1e6) * pow(10, Double(Int.random(in: -300...300)))
      let text = "\(x)"
      #expect(try #require(Rational(text)).nearestDouble == x)
    }
  }

  @Test func exactSumsEqualRationalSums() {
    for round in 0..<60 {
      var sum = ExactSum()
      var reference = Rational()
      var x: [Double] = []
      var y: [Double] = []
      let wide = round % 3 == 0
      for _ in 0..<80 {
        let scale = wide ? 300.0 : 4.0
        x.append(Double.random(in: -1...1) * pow(10, Double.random(in: -scale...scale) / 2))
        y.append(Double.random(in: -1...1) * pow(10, Double.random(in: -scale...scale) / 2))
      }
      if round % 2 == 0 {
        // Cancellation: everything once more with the other sign, except the first.
        x += x.dropFirst().map { -$0 }
        y += Array(y.dropFirst())
      }
      x += [.leastNonzeroMagnitude, .greatestFiniteMagnitude, 0]
      y += [.leastNonzeroMagnitude, -.greatestFiniteMagnitude, 1]
      sum.addDot(x, y, count: x.count)
      for (a, b) in zip(x, y) { reference += Rational(a) * Rational(b) }
      #expect(sum.rational == reference)
      #expect(sum.sign == reference.sign)
      sum.add(.greatestFiniteMagnitude)
      #expect(sum.rational == reference + Rational(Double.greatestFiniteMagnitude))
    }
    #expect(ExactSum().sign == 0 && ExactSum().rational == 0)
  }
}
