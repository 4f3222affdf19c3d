import FileFormats
import Foundation
import Importers
import Results

/// Digests of the files of instances. A file that many instances share is read once.
struct InstanceContents {
  private var known: [String: String] = [:]

  /// One digest of an instance's networks, with all files that belong to them, and its query.
  mutating func digest(of instance: Instance) -> String {
    var digest = Digest()
    for network in instance.networks {
      digest.update("\(network.name ?? "") \(digestOfNetwork(network.path))\n".utf8)
    }
    digest.update(digestOfFile(instance.queryPath).utf8)
    return digest.hexadecimal()
  }

  private mutating func digestOfNetwork(_ path: String) -> String {
    if let digest = known["network " + path] { return digest }
    let files = [path] + ((try? Importer.companions(of: path)) ?? [])
    let digest = Digest.hexadecimal(files.map { digestOfFile($0) }.joined(separator: "\n").utf8)
    known["network " + path] = digest
    return digest
  }

  /// A file that cannot be read has the digest of nothing; when it can be read, its instances are run again.
  private mutating func digestOfFile(_ path: String) -> String {
    if let digest = known[path] { return digest }
    let digest = (try? RegularFile.contents(path)).map { Digest.hexadecimal($0) } ?? "none"
    known[path] = digest
    return digest
  }
}
