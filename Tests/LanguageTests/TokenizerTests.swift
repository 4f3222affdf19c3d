import FileFormats
import Foundation
import Language
import TestSupport
import Testing

@Suite struct TokenizerTests {
  private func file(_ text: String, _ name: String, in folder: TemporaryFolder) throws {
    try text.write(toFile: folder.path(name), atomically: true, encoding: .utf8)
  }

  /// Cases worked out with the published merge table's rules: merges by rank, blanks kept with the next word.
  @Test func byteLevelBPE() throws {
    let folder = try TemporaryFolder()
    try file(
      #"{"h":0,"e":1,"l":2,"o":3,"Ġ":4,"he":5,"ll":6,"hell":7,"hello":8,"Ġhello":9,"'s":10,"!":11,"Ã":12,"©":13,"Ã©":14}"#,
      "vocab.json", in: folder)
    try file("#version: 0.2\nh e\nl l\nhe ll\nhell o\nĠ hello\n' s\nÃ ©\n", "merges.txt", in: folder)
    let tokenizer = try #require(try Tokenizer.load(folder: folder.url.path))
    #expect(try tokenizer.encode("hello hello's!").tokens == ["hello", "Ġhello", "'s", "!"])
    #expect(try tokenizer.encode("hé").ids == [0, 14])
    #expect(try tokenizer.encode("hello  hello").tokens == ["hello", "Ġ", "Ġhello"])
    #expect(try tokenizer.encode("hello hello").wordTexts == ["hello", " hello"])
    #expect(throws: FileError.self) { try tokenizer.encode("x") }
  }

  @Test func wordPiece() throws {
    let folder = try TemporaryFolder()
    try file("[PAD]\n[UNK]\n[CLS]\n[SEP]\nun\n##aff\n##able\n,\nthe\ncafe\n", "vocab.txt", in: folder)
    let tokenizer = try #require(try Tokenizer.load(folder: folder.url.path))
    let encoding = try tokenizer.encode("The UNAFFABLE, café\u{0} xyz")
    #expect(encoding.tokens == ["[CLS]", "the", "un", "##aff", "##able", ",", "cafe", "[UNK]", "[SEP]"])
    #expect(encoding.words == [0, 1, 2, 2, 2, 3, 4, 5, 6])
    #expect(encoding.wordTexts[2] == "unaffable")
  }

  @Test func unsupportedStepsAreNamed() throws {
    let folder = try TemporaryFolder()
    try file(#"{"model":{"type":"Unigram","vocab":{}}}"#, "tokenizer.json", in: folder)
    #expect(throws: FileError.self) { try Tokenizer.load(folder: folder.url.path) }
  }

  /// Every prompt of every group, token by token.
  @Test(.enabled(if: SharedData.isPresent, Comment(rawValue: SharedData.comment)))
  func shippedPrompts() throws {
    for model in ["truth-induction", "induction-2l", "ioi-4l", "gt-2l", "bert-sent-3l"] {
      let folder = try ModelFolder(path: SharedData.path("circuits/models/\(model)"))
      let tokenizer = try #require(folder.tokenizer)
      for group in SharedData.names(in: "circuits/prompts/\(model)") {
        let path = SharedData.path("circuits/prompts/\(model)/\(group)")
        for (line, value) in try JSONValue.parseLines(contentsOf: path) {
          let text = try #require((value["clean"] ?? value["text"])?.stringValue)
          let ids = try #require((value["clean_ids"] ?? value["ids"])?.ints)
          #expect(try tokenizer.encode(text).ids == ids, "\(group) line \(line)")
          if let tokens = value["tokens"]?.arrayValue?.compactMap(\.stringValue) {
            #expect(try tokenizer.encode(text).tokens == tokens)
          }
        }
      }
    }
  }

  @Test(.enabled(if: SharedData.isPresent, Comment(rawValue: SharedData.comment)))
  func badPromptsNameTheirLine() throws {
    let model = try ModelFolder(path: SharedData.path("circuits/models/ioi-4l"))
    let folder = try TemporaryFolder()
    func reject(_ lines: [String], _ line: Int, _ word: String) throws {
      try file(lines.joined(separator: "\n"), "p.jsonl", in: folder)
      do {
        _ = try PromptGroup(path: folder.path("p.jsonl"), model: model)
        Issue.record("accepted \(lines)")
      } catch let error as FileError {
        #expect(error.description.contains("line \(line)"), "\(error)")
        #expect(error.description.contains(word), "\(error)")
      }
    }
    let good = #"{"clean_ids":[0,5],"corrupted_ids":[0,6],"answer":"Mary","wrong_answer":"John"}"#
    try reject([good, #"{"clean_ids":[0,5,6]}"#], 2, "equal lengths")
    try reject([good, #"{"clean_ids":[0,86],"corrupted_ids":[0,6]}"#], 2, "vocabulary")
    try reject([#"{"clean_ids":[0,5],"corrupted_ids":[0]}"#], 1, "corrupted")
    try reject([good, "{"], 2, "line 2")
    try reject([#"{"clean_ids":[0,5],"answer":"nobody"}"#], 1, "nobody")
  }
}
