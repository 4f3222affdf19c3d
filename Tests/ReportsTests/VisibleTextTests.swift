import Reports
import Testing

@Suite struct VisibleTextTests {
  @Test func whatActsOnTerminalsIsEscaped() {
    #expect(VisibleText.line("a\u{1B}[31mb") == "a\\u{1b}[31mb")
    #expect(VisibleText.line("two\nlines\r\n\t") == "two\\u{a}lines\\u{d}\\u{a}\\u{9}")
    #expect(VisibleText.lines("two\nlines\r\u{7}") == "two\nlines\\u{d}\\u{7}")
    #expect(
      VisibleText.line("\u{9B}31m \u{202E}cod \u{2028}\u{7F}") == "\\u{9b}31m \\u{202e}cod \\u{2028}\\u{7f}")
    #expect(VisibleText.line("é 漢 👩‍👩‍👧") == "é 漢 👩‍👩‍👧")
  }

  @Test func cellsOfTables() {
    var table = TextTable([.init("name")])
    table.append(["a\u{1B}]0;x\u{7}\nb"])
    #expect(table.lines().last == "a\\u{1b}]0;x\\u{7}\\u{a}b")
  }
}
