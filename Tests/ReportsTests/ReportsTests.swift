import Reports
import Rigor
import Testing

@Suite struct ReportsTests {
  @Test func decimalsKeepTheirPromise() {
    var state: UInt64 = 1
    for _ in 0..<2000 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      let mantissa = Double(Int64(bitPattern: state) >> 11) / 0x1p52
      let value = mantissa * Double(sign: .plus, exponent: Int(state % 60) - 30, significand: 1)
      for format in [DirectedDecimal(for: [value]), DirectedDecimal(places: 3), DirectedDecimal(places: nil)]
      {
        let down = Rational(format.text(value, .down))
        let up = Rational(format.text(value, .up))
        #expect(down != nil && up != nil)
        if let down, let up { #expect(down <= Rational(value) && Rational(value) <= up, "\(value)") }
      }
    }
  }

  @Test func decimalsOfEveryKind() {
    #expect(DirectedDecimal(places: 2).text(0.125, .down) == "0.12")
    #expect(DirectedDecimal(places: 2).text(0.125, .up) == "0.13")
    #expect(DirectedDecimal(places: 2).text(-0.001) == "0.00")
    #expect(DirectedDecimal(places: 1).text(0.1, .down) == "0.1")
    // The double nearest to 0.1 is above one tenth.
    #expect(DirectedDecimal(places: 1).text(0.1, .up) == "0.2")
    #expect(DirectedDecimal(for: [1e300]).text(.infinity, .up) == "inf")
    #expect(DirectedDecimal(for: []).text(0, .down) == "0.00000")
  }

  @Test func columnsAreAligned() {
    var table = TextTable([.init("name"), .init("value", .right)])
    table.append(["a", "1"])
    table.append(["longer", "-10.5"])
    #expect(table.lines() == ["name    value", "------  -----", "a           1", "longer  -10.5"])
  }

  @Test func numbersForPeople() {
    #expect(1_234_567.grouped == "1,234,567" && 12.grouped == "12" && (-1000).grouped == "-1,000")
    #expect(
      (0.0012).duration == "1.2 ms" && (125.0).duration == "2 min 05 s" && (0.00005).duration == "50 us")
  }
}
