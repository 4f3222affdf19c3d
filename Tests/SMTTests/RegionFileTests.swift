import FileFormats
import Foundation
import Rigor
import SMT
import Testing

@Suite struct RegionFileTests {
  static let good = """
    {"id": "a", "network": "n.onnx", "region": {"lower": [0.1, "1/3"], "upper": [1, 1]}, "violation":
    [[{"coeffs": {"0": 1, "1": "-1/2"}, "op": "<=", "rhs": 0.25}]]}
    """

  private func read(_ text: String, name: String = "r.json") throws -> [RegionRecord] {
    var result: [RegionRecord] = []
    try SharedRegions.withTemporaryFolder { folder in
      try text.write(toFile: folder + "/" + name, atomically: true, encoding: .utf8)
      result = try RegionRecord.read(folder + "/" + name)
    }
    return result
  }

  @Test func numbersAreWhatIsWritten() throws {
    let record = try read(Self.good)[0]
    #expect(record.box?.lower == [Rational(1, 10), Rational(1, 3)])
    #expect(record.violation?[0][0].rhs == Rational(1, 4))
    #expect(record.violation?[0][0].terms.map(\.coefficient) == [1, Rational(-1, 2)])
    #expect(record.network.hasSuffix("/n.onnx") && record.kind == .verdict)
  }

  @Test(arguments: [
    ("\"network\": \"n.onnx\", ", ""), ("0.1, ", ""), ("[1, 1]", "[0, 1]"), ("\"1/3\"", "\"1/0\""),
    ("\"1/3\"", "true"),
    ("\"<=\"", "\"<\""), ("\"0\": 1", "\"x\": 1"), ("\"0\": 1", "\"-1\": 1"),
    ("\"rhs\": 0.25", "\"rhs\": null"),
    ("[[{\"coeffs\"", "[[],[{\"coeffs\""),
    ("\"id\": \"a\"", "\"id\": \"a\", \"property\": \"strict_argmux\""),
    ("\"id\": \"a\"", "\"id\": \"a\", \"kind\": \"verdikt\""),
    ("\"id\": \"a\"", "\"id\": \"a\", \"span\": 0"),
    ("\"id\": \"a\"", "\"id\": \"a\", \"norm\": \"l7\""),
    ("\"id\": \"a\"", "\"id\": \"a\", \"image_index\": 3"),
    ("\"id\": \"a\"", "\"id\": \"a\", \"span\": 1, \"dims\": [1, 1]"), ("0.1", "1e999999999"),
  ])
  func mistakesAreNamed(old: String, new: String) throws {
    let range = try #require(Self.good.range(of: old))
    let text = Self.good.replacingCharacters(in: range, with: new)
    #expect(throws: FileError.self) { try read(text) }
  }

  @Test func batchesNameTheLine() throws {
    let line = Self.good.replacingOccurrences(of: "\n", with: " ")
    #expect(try read(line + "\n" + line + "\n", name: "r.jsonl").count == 2)
    #expect { try read(line + "\n{}\n", name: "r.jsonl") } throws: {
      ($0 as? FileError)?.place?.hasPrefix("line 2") == true
    }
    #expect(throws: FileError.self) { try read("\n\n", name: "r.jsonl") }
  }
}
