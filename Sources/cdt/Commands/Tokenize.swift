import ArgumentParser
import CommandSupport
import FileFormats
import Foundation
import Language

/// `cdt tokenize`: what a model reads of a text.
struct Tokenize: SupervisedCommand {
  static let configuration = CommandConfiguration(
    abstract: "Tokens, numbers and offsets of texts, as the model's tokenizer gives them.",
    discussion: """
      MODEL is a folder with tokenizer.json, vocab.txt, or vocab.json and merges.txt; a tokenizer.json; or an ONNX file beside \
      which one of these lies. No weights are read. With --json, one object a text and line: text, tokens, ids, offsets \
      (first and last + 1, in Unicode characters from 0), attention_mask, unknown (what the vocabulary lacks); a text that \
      cannot be read has error instead, and the exit code is 2.
      """)

  @Argument(help: "The model's folder, its tokenizer.json, or an ONNX file.") var model: String
  @Argument(help: "Texts.") var texts: [String] = []
  @Option(
    help: ArgumentHelp(
      "A text a line; in a .jsonl file a JSON string, or an object with \"text\", a line.", valueName: "file")
  )
  var file: String?
  @Flag(help: "Print one JSON object a text.") var json = false
  @Flag(help: "No remarks.") var quiet = false

  @OptionGroup var limits: LimitOptions

  var printsJSON: Bool { json }

  func validate() throws {
    if texts.isEmpty == (file == nil) { throw ValidationError("give texts or --file") }
  }

  mutating func run(_ supervisor: Supervisor) throws {
    let tokenizer = try Tokenizer.load(path: model)
    var failure: FileError?
    for (number, text) in try input().enumerated() {
      do {
        let encoding = try tokenizer.encode(text)
        if json {
          print(JSONValue.object(Self.object(text, tokenizer.padded(encoding))).text(indented: false))
        } else {
          if number > 0 { print("") }
          printTable(tokenizer.padded(encoding).encoding)
        }
        Support.warn(encoding.remarks, quiet: quiet)
      } catch let error as FileError where json {
        var object = JSONObject()
        object["text"] = .string(text)
        object["error"] = .string(error.description)
        print(JSONValue.object(object).text(indented: false))
        failure = error
      }
    }
    if let failure { throw failure }
  }

  private func input() throws -> [String] {
    guard let file else { return texts }
    if file.hasSuffix(".jsonl") {
      return try JSONValue.parseLines(contentsOf: file).map { line, value in
        let field = JSONField(root: value, file: file, line: line)
        if case .object = value { return try field.member("text").string() }
        return try field.string()
      }
    }
    guard let text = String(validating: try Gzip.contents(ofFile: file), as: UTF8.self) else {
      throw FileError(file: file, reason: "this is not valid UTF-8")
    }
    // A line ends with LF or CR LF, which Swift takes for one character.
    var lines = text.split(omittingEmptySubsequences: false) { $0 == "\n" || $0 == "\r\n" }.map(String.init)
    if lines.last?.isEmpty == true { lines.removeLast() }
    return lines
  }

  private static func object(_ text: String, _ padded: (encoding: Encoding, mask: [Int])) -> JSONObject {
    let encoding = padded.encoding
    var object = JSONObject()
    object["text"] = .string(text)
    object["tokens"] = JSONValue(encoding.tokens)
    object["ids"] = JSONValue(encoding.ids)
    object["offsets"] = .array(encoding.offsets.map { JSONValue([$0.lowerBound, $0.upperBound]) })
    object["attention_mask"] = JSONValue(padded.mask)
    object["unknown"] = JSONValue(encoding.unknown)
    if encoding.truncated > 0 { object["truncated"] = JSONValue(encoding.truncated) }
    return object
  }

  private func printTable(_ encoding: Encoding) {
    let rows = encoding.ids.indices.map { place in
      let offsets = encoding.offsets[place]
      // Control characters of a vocabulary must not reach the terminal.
      let token = encoding.tokens[place].unicodeScalars.map { scalar in
        scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value)
          ? scalar.escaped(asASCII: true) : String(scalar)
      }.joined()
      return [token, "\(encoding.ids[place])", "\(offsets.lowerBound)", "\(offsets.upperBound)"]
    }
    print(Output.table(["token", "id", "from", "to"], rows, numeric: [1, 2, 3]))
  }
}
