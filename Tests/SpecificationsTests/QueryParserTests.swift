import FileFormats
import Foundation
import Rigor
import Specifications
import TestSupport
import Testing

@Suite struct QueryParserTests {
  let shared = SharedData.root.path

  func declarations(_ type: String = "float32") -> String {
    """
    (vnnlib-version <2.0>)
    (declare-network f
      (declare-input X \(type) [1,4])
      (declare-output Y \(type) [3])
    )

    """
  }

  func error(_ text: String) -> FileError? {
    do {
      _ = try Query(text: text, file: "q.vnnlib")
      return nil
    } catch let error as FileError {
      return error
    } catch {
      return nil
    }
  }

  // MARK: Version 2

  @Test func readsPolynomialsExactly() throws {
    let query = try Query(
      text: declarations("real")
        + "(assert (<= (+ (* 2.0 X[0,1] 0.1) (- Y[2] X[0,1] 1.5) (- Y[0])) (* X[0,0] (+ X[0,0] 3))))")
    guard case .all(let parts) = query.formula, case .comparison(let comparison) = parts[0] else {
      Issue.record("not a single comparison")
      return
    }
    // X: variables 0-3, Y: 4-6.
    let expression = comparison.expression
    #expect(comparison.relation == .lessOrEqual)
    #expect(expression.constant == Rational(-3, 2))
    #expect(expression.terms.map(\.variable) == [0, 1, 4, 6])
    #expect(expression.terms.map(\.coefficient) == [-3, Rational(-4, 5), -1, 1])
    #expect(expression.products == [[0, 0]: -1])
    #expect(query.name(ofVariable: 1) == "X[0,1]")
    #expect(query.name(ofVariable: 6) == "Y[2]")
  }

  @Test func errorsSayLineAndColumn() {
    let cases: [(String, Int, Int, String)] = [
      ("(assert (=> X[0,0] 0.0))", 6, 10, "expected one of"),
      ("(assert (>= X[0,9] 0.0))", 6, 17, "out of range"),
      ("(assert (>= X[0,0]))", 6, 19, "expected a number or a variable"),
      ("(assert (>= X[0] 0.0))", 6, 13, "2 dimensions"),
      ("(assert (>= X[0,0] 0.0)", 6, 24, "')' after the assertion"),
      ("(assert (>= Z[0,0] 0.0))", 6, 13, "not declared"),
      ("(assert\n  (and (>= X[0,0] 0.0)\n   (< Y[1] é)))", 8, 12, "expected a number"),
      ("(assert (>= X[0,0] 1.))", 6, 20, "decimal point"),
      ("(assert (>= X[0,0] 1e3))", 6, 21, "after the two sides"),
      ("; nothing", 6, 10, "expected '(assert'"),
      ("(assert (>= X[0,0] 0.0)) x", 6, 26, "or the end of the file"),
      ("(assert (and))", 6, 13, "expected '('"),
      ("(assert (>= X[-1,0] 0.0))", 6, 15, "an index"),
      ("( assert (>= X[0,0] 0.0))", 6, 1, "expected '(assert'"),
    ]
    for (text, line, column, reason) in cases {
      let error = error(declarations() + text)
      #expect(error?.place == "line \(line), column \(column)", "\(text): \(String(describing: error))")
      #expect(error?.reason.contains(reason) == true, "\(text): \(String(describing: error))")
      #expect(error?.file == "q.vnnlib")
    }
  }

  @Test func checksTypes() {
    let text = """
      (vnnlib-version <2.0>)
      (declare-network f (declare-input X float32 []) (declare-input K real [1]) (declare-input U uint8 [])
      (declare-hidden H int64 [2] "h") (declare-output B bool []))

      """
    let bad = [
      "(<= X K[0])", "(<= (+ K[0] 1.0) (* 2.0 X))", "(<= H[0] 1.0)", "(<= U -1)", "(<= B 1)", "(<= 1.0 U)",
      "(<= X[0] 1.0)", "(<= K 1.0)", "(<= H[0] U)",
    ]
    for formula in bad { #expect(error(text + "(assert \(formula))") != nil, "\(formula)") }
    let good = ["(<= X 2)", "(<= 2 K[0])", "(<= H[0] -1)", "(<= U 1)", "(== B B)", "(<= 1 2.0)"]
    for formula in good {
      #expect(error(text + "(assert \(formula))") == nil, "\(String(describing: error(text + formula)))")
    }
    let network = "(declare-network f (declare-input X Real [2]) (declare-output Y real [1]))"
    #expect(error("(vnnlib-version <2.0>)\(network)(assert (<= X[0] Y[0]))") == nil)
  }

  @Test func checksNetworks() {
    let f = "(declare-network f (declare-input X float32 [2]) (declare-output Y float32 [1]))"
    func with(_ more: String) -> FileError? {
      error("(vnnlib-version <2.0>)\n\(f)\n\(more)\n(assert (<= X[0] 1.0))")
    }
    func g(_ relation: String, _ type: String = "float32", _ shape: String = "[2]") -> String {
      "(declare-network g \(relation) (declare-input U \(type) \(shape)) (declare-output V \(type) [1]))"
    }
    #expect(with(g("(equal-to f)")) == nil)
    #expect(with(g("(isomorphic-to f)")) == nil)
    #expect(with(g("")) == nil)
    #expect(with(g("(equal-to h)"))?.reason.contains("not declared") == true)
    #expect(with(g("(equal-to g)"))?.reason.contains("itself") == true)
    #expect(with(g("(equal-to f)", "float64"))?.reason.contains("type") == true)
    #expect(with(g("(equal-to f)", "float32", "[3]"))?.reason.contains("shape") == true)
    #expect(with(g("(equal-to f) (isomorphic-to f)"))?.reason.contains("at most one") == true)
    #expect(with(f)?.reason.contains("twice") == true)
    let h = "(declare-network h (equal-to g) (declare-input A float32 [2]) (declare-output B float32 [1]))"
    #expect(with(g("(equal-to f)") + h)?.reason.contains("chained") == true)
    let named = "(declare-network n (declare-input A real [] \"a\") (declare-output B real [] \"b\"))"
    #expect(with(named) == nil)
    #expect(with(named.replacingOccurrences(of: " \"b\"", with: "")) != nil)
  }

  @Test func absurdFilesEndInAnError() {
    let deep = String(repeating: "(and ", count: 200_000) + "(<= X[0,0] 1.0)"
    #expect(error(declarations() + "(assert " + deep)?.reason.contains("nested") == true)
    let negations = String(repeating: "(- ", count: 200_000)
    #expect(error(declarations() + "(assert (<= " + negations)?.reason.contains("nested") == true)
    let sum = "(+ X[0,0] X[0,1] X[0,2] X[0,3] Y[0] Y[1] Y[2])"
    let product = "(* " + String(repeating: sum + " ", count: 60) + ")"
    #expect(error(declarations() + "(assert (<= \(product) 1.0))")?.reason.contains("too many terms") == true)
    #expect(error("")?.reason.contains("no assertion") == true)
    #expect(error("\u{0}\u{1}\u{2}") != nil)
    #expect(error("(vnnlib-version <2.0>)(declare-network f (declare-input X real [9999999999999])") != nil)
    let digits = String(repeating: "7", count: 100_000)
    #expect(error(declarations() + "(assert (<= X[0,0] 0.\(digits)))") == nil)
  }

  @Test func refusesTheMalformedSharedQueries() throws {
    let folder = shared + "/verification/vnnlib2"
    guard let rows = try? String(contentsOfFile: folder + "/expected.csv", encoding: .utf8) else {
      print("skipped: \(folder) is absent")
      return
    }
    for row in rows.split(whereSeparator: \.isNewline).dropFirst() {
      let fields = row.split(separator: ",", omittingEmptySubsequences: false)
      let path = folder + "/" + fields[0]
      if fields[1] == "error" {
        let error = #expect(throws: FileError.self) { try Query(contentsOf: path) }
        #expect(error?.place?.contains("column") == true)
      } else {
        #expect(throws: Never.self, "\(path)") { try Query(contentsOf: path) }
      }
    }
  }

  // MARK: Version 1

  @Test func readsVersion1() throws {
    let query = try Query(
      text: """
        ; a comment
        (declare-const X_1 Real)
        (declare-const X_0 Real)
        (declare-const Y_0 Real)
        (assert (<= X_0 1.5e-3))
        (assert (or (and (>= X_1 -1) (not (<= Y_0 X_0))) (= (* 2 Y_0) (/ X_1 4))))
        """)
    #expect(query.majorVersion == 1)
    #expect(query.tensors.map(\.shape) == [[2], [1]])
    #expect(query.name(ofVariable: 2) == "Y_0")
    let form = DisjunctiveForm(query.formula)
    #expect(form.count == 2)
    let first = form.clause(0)
    #expect(first[0].expression.constant == Rational(-15, 10000))
    #expect(first.map(\.relation) == [.lessOrEqual, .greaterOrEqual, .greater])
    #expect(form.clause(1)[1].expression.terms.map(\.coefficient) == [Rational(-1, 4), 2])
  }

  @Test func refusesBadVersion1() {
    let head = "(declare-const X_0 Real)\n(declare-const Y_0 Real)\n"
    let bad = [
      "(assert (<= X_1 0))", "(assert (<= X_0 0)", "(assert (<= X_0))", "(assert (<= X_0 abc))",
      "(assert (=> X_0 1))", "(assert (<= X_0 1.2.3))", "(assert (<= X_0 1e))",
      "(assert (<= X_0 1e99999999))",
      "(assert (<= Z_0 0))", "(declare-const X_0 Real)", "(declare-const X_5 Real)(assert (<= X_0 0))",
      "(declare-const X_1 Int)", "(foo)", "(assert (<= (/ 1 X_0) 0))", "(assert (<= (/ X_0 0) 0))",
      "(assert (<= X_0 0)) (declare-const X_1 Real)", "(assert (not (<= X_0 0) (<= X_0 1)))", "",
    ]
    for text in bad {
      let error = error(head + text)
      #expect(error != nil, "\(text)")
      #expect(error?.place?.contains("column") == true)
    }
    #expect(error(head + "(assert (<= X_0 0))") == nil)
  }

  @Test func readsEverySharedInstance() throws {
    let root = shared + "/verification/benchmarks"
    guard let families = try? FileManager.default.contentsOfDirectory(atPath: root) else {
      print("skipped: \(root) is absent")
      return
    }
    var count = 0
    for family in families {
      let folder = "\(root)/\(family)/vnnlib"
      for name in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] {
        let query = try Query(contentsOf: folder + "/" + name)
        let cases = query.cases()
        #expect(!cases.isEmpty)
        // Every input of every shared instance is bounded on both sides.
        for part in cases {
          #expect(part.bounds.count == query.networks[0].inputs[0].count)
          #expect(part.bounds.values.allSatisfy { $0.lower != nil && $0.upper != nil })
        }
        if name == "lindex_3000.vnnlib.gz" { #expect(cases.count == 3000) }
        count += 1
      }
    }
    #expect(count > 150)
  }
}
