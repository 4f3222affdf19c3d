import FileFormats
import Testing

@Suite struct PathNameTests {
  @Test(arguments: [
    ("a/net.onnx", "a/", "a", "net.onnx", "net"), ("m", "", ".", "m", "m"), ("./", "", ".", ".", "."),
    (".", "", ".", ".", "."), ("/", "/", "/", "", ""), ("", "", ".", "", ""), ("/m", "/", "/", "m", "m"),
    ("a/b/", "a/", "a", "b", "b"), ("//m", "//", "/", "m", "m"), (".onnx", "", ".", ".onnx", ".onnx"),
    ("..", "", ".", "..", ".."), ("é", "", ".", "é", "é"), ("a//b.c.d", "a//", "a", "b.c.d", "b.c"),
  ])
  func parts(_ path: String, _ prefix: String, _ folder: String, _ last: String, _ stem: String) {
    #expect(PathName.folderPrefix(path) == prefix)
    #expect(PathName.folder(path) == folder)
    #expect(PathName.last(path) == last)
    #expect(PathName.stem(path) == stem)
  }
}

@Suite struct MarkupTextTests {
  @Test func markup() {
    #expect(MarkupText.xml("<a b='c' d=\"e\">&") == "&lt;a b=&#39;c&#39; d=&quot;e&quot;&gt;&amp;")
    #expect(
      MarkupText.xml("a\u{1B}[31m\u{0}\u{9B}\u{FFFF}\u{7F}")
        == "a\u{FFFD}[31m\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}")
    #expect(MarkupText.xml("two\n\tlines é 漢") == "two\n\tlines é 漢")
  }

  /// What a spreadsheet would run becomes text; numbers stay numbers.
  @Test func cells() {
    for (field, cell) in [
      ("plain", "plain"), ("a,b", "\"a,b\""), ("say \"x\"", "\"say \"\"x\"\"\""), ("=1+1", "\"'=1+1\""),
      ("+cmd|' /C calc'!A0", "\"'+cmd|' /C calc'!A0\""), ("-2+3", "\"'-2+3\""), ("@SUM(1)", "\"'@SUM(1)\""),
      ("\t=1", "\"'\t=1\""), ("\r\n=1", "\"'\r\n=1\""), ("  =1", "\"'  =1\""), ("＝1", "\"'＝1\""),
      ("-0.5", "-0.5"), ("+3e-5", "+3e-5"), ("-inf", "\"'-inf\""), ("a\u{1B}[1m", "\"a\\u{1b}[1m\""),
      ("two\r\nlines", "\"two\r\nlines\""),
    ] {
      #expect(MarkupText.csv(field) == cell)
    }
  }
}
