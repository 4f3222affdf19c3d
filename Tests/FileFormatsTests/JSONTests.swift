import FileFormats
import Foundation
import Testing

@Suite struct JSONTests {
  /// Results are written like arrays of their numbers, in pieces or whole.
  @Test func resultsAreArrays() throws {
    let values = [1, -0.5, .infinity, -.infinity, .nan, 1e300]
    let array = JSONValue.array(values.map { JSONValue(result: $0) })
    let document: JSONValue = ["a": JSONValue(results: values), "b": ["c": JSONValue(results: [])]]
    let plain: JSONValue = ["a": array, "b": ["c": []]]
    #expect(document.text() == plain.text())
    #expect(document.text(indented: true) == plain.text(indented: true))
    #expect(document["a"]?.arrayValue == array.arrayValue)
    #expect(document["a"]?[1] == JSONValue(-0.5))
    var pieces = ""
    document.write(to: &pieces)
    #expect(pieces == plain.text())
  }

  @Test func keepsTheTextOfNumbers() throws {
    let value = try JSONValue.parse(
      #"{"a": [0.10, -1E+2, 12345678901234567890123], "b": {"c": null, "d": true}}"#)
    #expect(value["a"]?[0] == .number("0.10"))
    #expect(value["a"]?[1]?.doubleValue == -100)
    #expect(value["a"]?[2]?.numberText == "12345678901234567890123")
    #expect(value["a"]?[2]?.intValue == nil)
    #expect(value["b"]?["c"] == .null && value["b"]?["d"]?.boolValue == true)
    #expect(value.objectValue?.keys == ["a", "b"])
  }

  @Test func readsEscapes() throws {
    let value = try JSONValue.parse(#""a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é""#)
    #expect(value.stringValue == "a\"\\/\u{8}\u{c}\n\r\té😀é")
  }

  @Test(arguments: [
    ("", "line 1, column 1"), ("[1,]", "line 1, column 4"), ("{\"a\":1,\n \"a\":2}", "line 2, column 2"),
    ("[1 2]", "line 1, column 4"), ("01", "line 1, column 2"), ("-", "line 1, column 2"),
    ("1.", "line 1, column 3"),
    ("nul", "line 1, column 1"), ("\"abc", "line 1, column 1"), ("\"\\x\"", "line 1, column 2"),
    ("\"\\ud800\"", "line 1, column 2"), ("{\"a\"}", "line 1, column 5"), ("\"a\nb\"", "line 1, column 3"),
    ("[NaN]", "line 1, column 2"), ("{a:1}", "line 1, column 2"), ("[1] x", "line 1, column 5"),
    ("/**/1", "line 1, column 1"),
  ])
  func refusesWithThePlace(text: String, place: String) {
    #expect { try JSONValue.parse(text, file: "f.json") } throws: { error in
      guard let error = error as? FileError else { return false }
      return error.file == "f.json" && error.place == place
    }
  }

  @Test func limitsDepth() throws {
    let deep = String(repeating: "[", count: 200) + String(repeating: "]", count: 200)
    _ = try JSONValue.parse(deep)
    #expect(throws: FileError.self) { try JSONValue.parse(String(repeating: "[", count: 1_000_000)) }
    #expect(throws: FileError.self) { try JSONValue.parse([0x22, 0xFF, 0x22], file: "bytes") }
  }

  @Test func writesWhatItReads() throws {
    let text = #"{"a":[1,2.50,"x\n\u0001"],"b":{},"c":[[1],[]],"d":null}"#
    let value = try JSONValue.parse(text)
    #expect(value.text() == text)
    #expect(try JSONValue.parse(value.text(indented: true)) == value)
    #expect(JSONValue(Double.nan) == .null && JSONValue(1e-5).doubleValue == 1e-5)
  }

  @Test func agreesWithFoundationOnObjectsOfManyKeys() throws {
    var members = JSONObject()
    for i in 0..<500 { members["key \(i) \"é\""] = .array([.number("\(i)"), .bool(i % 2 == 0)]) }
    members["key 7 \"é\""] = nil
    let text = JSONValue.object(members).text(indented: true)
    let parsed = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: [Double]])
    #expect(parsed.count == 499 && parsed["key 400 \"é\""] == [400, 1])
    let again = try JSONValue.parse(text)
    #expect(again["key 400 \"é\""]?[0]?.intValue == 400 && again["key 7 \"é\""] == nil)
  }

  @Test func linesAndFieldsNameTheirPlace() throws {
    let lines = try JSONValue.parseLines(Array("{\"a\":1}\n\n{\"a\":[1,\"x\"]}\n".utf8), file: "f.jsonl")
    #expect(lines.map(\.line) == [1, 3])
    let field = JSONField(root: lines[1].value, file: "f.jsonl", line: 3)
    #expect(try field.member("a").elements()[0].int() == 1)
    #expect { try field.member("a").elements()[1].int() } throws: {
      "\($0)" == "f.jsonl: line 3: a[1]: expected an integer"
    }
    #expect { try field.member("b") } throws: { "\($0)" == "f.jsonl: line 3: \"b\" is missing" }
    #expect { try JSONValue.parseLines(Array("1\n{\n".utf8), file: "g") } throws: {
      ($0 as? FileError)?.place == "line 2, column 2"
    }
  }
}
