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
      #"{"h":0,"e":1,"l":2,"o":3,"Ġ":4,"he":5,"ll":6,"hell":7,"hello":8,"Ġhello":9,"'s":10,"!":11,"Ã":12,"©":13,"Ã©":14,"'":15,"s":16}"#,
      "vocab.json", in: folder)
    try file("#version: 0.2\nh e\nl l\nhe ll\nhell o\nĠ hello\n' s\nÃ ©\n", "merges.txt", in: folder)
    let tokenizer = try #require(try Tokenizer.load(folder: folder.url.path))
    #expect(try tokenizer.encode("hello hello's!").tokens == ["hello", "Ġhello", "'s", "!"])
    #expect(try tokenizer.encode("hé").ids == [0, 14])
    #expect(try tokenizer.encode("hello  hello").tokens == ["hello", "Ġ", "Ġhello"])
    #expect(try tokenizer.encode("hello hello").wordTexts == ["hello", " hello"])
    // As the reference library does where a vocabulary has no unknown token.
    let dropped = try tokenizer.encode("hx")
    #expect(dropped.ids == [0])
    #expect(dropped.unknown == ["x"])
  }

  @Test func wordPiece() throws {
    let folder = try TemporaryFolder()
    try file("[PAD]\n[UNK]\n[CLS]\n[SEP]\nun\n##aff\n##able\n,\nthe\ncafe\n", "vocab.txt", in: folder)
    let tokenizer = try #require(try Tokenizer.load(folder: folder.url.path))
    let encoding = try tokenizer.encode("The UNAFFABLE, café\u{0} xyz")
    #expect(encoding.tokens == ["[CLS]", "the", "un", "##aff", "##able", ",", "cafe", "[UNK]", "[SEP]"])
    #expect(encoding.words == [0, 1, 2, 2, 2, 3, 4, 5, 6])
    #expect(encoding.wordTexts[2] == "unaffable")
    #expect(encoding.unknown == ["xyz"])
    #expect(encoding.offsets == [0..<0, 0..<3, 4..<6, 6..<9, 9..<13, 13..<14, 15..<19, 21..<24, 0..<0])
    #expect(encoding.remarks.count == 1)
  }

  @Test func unsupportedStepsAreNamed() throws {
    let folder = try TemporaryFolder()
    func refuse(
      _ steps: String, model: String = #"{"type":"WordLevel","vocab":{"a":0},"unk_token":"a"}"#,
      _ word: String
    )
      throws
    {
      try file("{\(steps.isEmpty ? "" : steps + ",")\"model\":\(model)}", "tokenizer.json", in: folder)
      do {
        _ = try Tokenizer.load(folder: folder.url.path)
        Issue.record("accepted \(steps)")
      } catch let error as FileError {
        #expect(error.description.contains(word), "\(error)")
      }
    }
    try refuse("", model: #"{"type":"Unigram","vocab":{}}"#, "array")
    try refuse("", model: #"{"type":"Other","vocab":{}}"#, "Other")
    try refuse("", model: #"{"type":"BPE","vocab":{"a":0},"merges":[],"dropout":0.1}"#, "dropout")
    try refuse("", model: #"{"type":"BPE","vocab":{"a":0},"merges":["a b"]}"#, "\"b\"")
    try refuse(#""normalizer":{"type":"Other"}"#, "Other")
    try refuse(#""pre_tokenizer":{"type":"UnicodeScripts"}"#, "UnicodeScripts")
    try refuse(#""post_processor":{"type":"Other"}"#, "Other")
    try refuse(#""added_tokens":[{"id":7,"content":"b"}]"#, "number 7")
    for (expression, word) in [
      ("(a)\\\\1", "\\1"), ("[[:alpha:]]", "[:alpha:]"), ("(?i:st)", "st"), ("(?<name>a)", "group"),
      ("\\\\p{Greek}", "Greek"), ("(a*)*", "empty"), ("a**(", "parenthesis"),
    ] {
      try refuse(
        #""pre_tokenizer":{"type":"Split","behavior":"Isolated","pattern":{"Regex":"\#(expression)"}}"#, word)
    }
    let other = try TemporaryFolder()
    try file(#"{"tokenizer_class":"CLIPTokenizer"}"#, "tokenizer_config.json", in: other)
    try file("a\n", "vocab.txt", in: other)
    #expect(throws: FileError.self) { try Tokenizer.load(folder: other.url.path) }
  }

  /// Tokenizers of every kind, odd texts, and the numbers that the library `tokenizers` gives;
  /// Fuzzing/differential/compare_tokenizers.py wrote them.
  @Test func referenceNumbers() throws {
    let folder = try #require(Bundle.module.url(forResource: "Fixtures/tokenizers", withExtension: nil)).path
    let texts = try #require(
      try JSONValue.parse(contentsOf: folder + "/texts.json").arrayValue?.compactMap(\.stringValue))
    let answers = try #require(try JSONValue.parse(contentsOf: folder + "/expected.json").objectValue)
    #expect(texts.count == 200 && answers.count == 26)
    for answer in answers.entries {
      let tokenizer = try #require(try Tokenizer.load(folder: folder + "/" + answer.key))
      for (text, ids) in zip(texts, try #require(answer.value.arrayValue)) {
        let own = try? tokenizer.padded(tokenizer.encode(text)).encoding.ids
        #expect(own == ids.ints, "\(answer.key): \(text.debugDescription)")
      }
    }
  }

  /// Folders of every form that people ship.
  @Test(
    .enabled(if: SharedData.isPresent, Comment(rawValue: SharedData.comment)),
    arguments: ["b22-bert-tokenizer", "b23-gpt2-bpe"])
  func fieldNumbers(_ name: String) throws {
    let folder = SharedData.path("field/" + name)
    let root = try JSONValue.parse(contentsOf: folder + "/expected.json")
    // Some answers belong to folders that are not here.
    for answer in try #require(root["exp"]?.objectValue).entries
    where FileManager.default.fileExists(atPath: folder + "/" + answer.key) {
      let tokenizer = try #require(try Tokenizer.load(folder: folder + "/" + answer.key))
      let texts = try #require(root[answer.key == "gpt2_added" ? "added" : "texts"]?.arrayValue)
      let numbers = try #require(answer.value.arrayValue)
      #expect(texts.count == numbers.count)
      for (text, ids) in zip(texts, numbers) {
        let text = try #require(text.stringValue)
        #expect(try tokenizer.encode(text).ids == ids.ints, "\(answer.key): \(text.debugDescription)")
      }
    }
  }

  /// Keys that Swift takes for equal texts are different tokens.
  @Test func equivalentTokensDiffer() throws {
    let folder = try TemporaryFolder()
    try file(
      #"{"model":{"type":"WordLevel","vocab":{"<unk>":0,"\u00e9":1,"e\u0301":2},"unk_token":"<unk>"}}"#,
      "tokenizer.json", in: folder)
    let tokenizer = try #require(try Tokenizer.load(folder: folder.url.path))
    #expect(try tokenizer.encode("\u{E9}").ids == [1])
    #expect(try tokenizer.encode("e\u{301}").ids == [2])
  }

  /// A word of a megabyte, of which every merge and every cut is tried.
  @Test(
    .timeLimit(.minutes(1)), arguments: ["gpt2", "llama2", "unigram", "bert-lower", "o200k", "precompiled"])
  func longWords(_ name: String) throws {
    let folder = try #require(
      Bundle.module.url(forResource: "Fixtures/tokenizers/" + name, withExtension: nil))
    let tokenizer = try #require(try Tokenizer.load(folder: folder.path))
    for unit in ["the", " ", "A", "\u{301}", "\n "] {
      let text = String(repeating: unit, count: 1_000_000 / unit.utf8.count)
      #expect(try !tokenizer.encode(text).ids.isEmpty)
    }
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
