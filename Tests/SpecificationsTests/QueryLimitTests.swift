import FileFormats
import Specifications
import TestSupport
import Testing

/// Queries that are small and mean much.
@Suite struct QueryLimitTests {
  private func header(_ shape: String) -> String {
    "(vnnlib-version <2.0>)(declare-network N (declare-input X real \(shape)) (declare-output Y real [1]))"
  }

  @Test("Tensors beyond any network are refused where they are declared")
  func hugeTensors() {
    for shape in ["[1099511627776]", "[67108864,2]", "[9223372036854775807,9223372036854775807]"] {
      let error = #expect(throws: FileError.self) {
        try Query(text: header(shape) + "(assert (>= X[0] 0.0))")
      }
      #expect(error?.place?.hasPrefix("line 1") == true)
    }
    let two = "(declare-input A real [67108864]) (declare-input B real [1])"
    #expect(throws: FileError.self) {
      try Query(
        text:
          "(vnnlib-version <2.0>)(declare-network N \(two) (declare-output Y real [1]))(assert (>= B[0] 0.0))"
      )
    }
  }

  @Test("A long line is read as fast as many short ones, and places in it are right")
  func longLine() throws {
    let count = 20_000
    var text = ""
    for i in 0..<count { text += "(declare-const X_\(i) Real)" }
    text += "(declare-const Y_0 Real)"
    for i in 0..<count { text += "(assert (<= X_\(i) 1))" }
    let start = ContinuousClock.now
    #expect(try Query(text: text).variableCount == count + 1)
    #expect(ContinuousClock.now - start < .seconds(2))
    // The place of an error counts characters, not bytes.
    let error = #expect(throws: FileError.self) { try Query(text: text + "   (assert (<= Z 1))") }
    #expect(error?.place == "line 1, column \(text.count + 16)")
  }

  @Test("Products and powers are refused before they grow")
  func products() {
    let sum = "(+ X[0] X[1])"
    let start = ContinuousClock.now
    for expression in [
      "(* " + String(repeating: sum + " ", count: 2000) + ")",
      "(* " + String(repeating: "1" + String(repeating: "0", count: 20_000) + " ", count: 200) + ")",
    ] {
      #expect(throws: FileError.self) { try Query(text: header("[2]") + "(assert (>= X[0] \(expression)))") }
    }
    let scaled = String(repeating: "1e20000 ", count: 3000)
    for expression in ["(* \(scaled))", "(/ 1 \(scaled))", "(* X_0 \(scaled))"] {
      #expect(throws: FileError.self) {
        try Query(text: "(declare-const X_0 Real)(declare-const Y_0 Real)(assert (>= Y_0 \(expression)))")
      }
    }
    #expect(ContinuousClock.now - start < .seconds(5))
    // What queries do use stays.
    #expect(throws: Never.self) {
      try Query(text: header("[2]") + "(assert (>= (* \(sum) \(sum) X[0]) 1.0))")
    }
  }

  @Test("Reading obeys a deadline")
  func deadline() {
    // A million quotients by numbers of 20,000 digits.
    let text =
      "(declare-const X_0 Real)(declare-const Y_0 Real)(assert (>= Y_0 (+ "
      + String(repeating: "1e-20000 3e-19999 ", count: 500_000) + ")))"
    let start = ContinuousClock.now
    #expect(throws: QueryTimeout.self) {
      try Query(bytes: Array(text.utf8), file: "q", deadline: start + .milliseconds(200))
    }
    #expect(ContinuousClock.now - start < .seconds(2))
  }

  @Test("Deep nesting and damaged queries end in one error, or are read")
  func damaged() throws {
    for (open, close) in [("(or ", ")"), ("(>= X_0 (- ", "))"), ("(not ", ")")] {
      let text =
        "(declare-const X_0 Real)(declare-const Y_0 Real)(assert "
        + String(repeating: open, count: 100_000) + String(repeating: close, count: 100_000) + ")"
      #expect(throws: FileError.self) { try Query(text: text) }
    }
    let first =
      "; c\n(declare-const X_0 Real)\n(declare-const Y_0 Real)\n(assert (or (and (>= X_0 -1.5e-3) (<= Y_0 (* 2 X_0)))))\n"
    let second = header("[2]") + "(assert (and (<= X[0] 1.0) (or (>= Y[0] (+ X[1] 2.0)) (!= Y[0] -3.0))))"
    for text in [first, second] {
      let start = ContinuousClock.now
      for mutation in Mutations(of: Array(text.utf8), count: 2000, seed: 3) {
        do { _ = try Query(bytes: mutation, file: "q") } catch is FileError {}
      }
      #expect(ContinuousClock.now - start < .seconds(20))
    }
  }
}
