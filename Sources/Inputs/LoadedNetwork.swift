import Domains
import FileFormats
import IR
import Importers
import Tensors

/// A network together with values for its inputs.
///
/// The two are read together because a file may leave extents open that the values settle, and because shapes may
/// depend on values (index lists, adjacency).
public struct LoadedNetwork: Sendable {
  public var network: ImportedNetwork
  public var inputs: NetworkInputs

  public var graph: Graph { network.graph }

  /// Reads a network and a box of its inputs. Shapes may depend on inputs that the box fixes.
  ///
  /// - Throws: `FileError`, `UnsupportedOperator`, `GraphError`.
  public init(
    network path: String, box: BoxDocument, batch: Int? = nil, shapes: [String: Shape] = [:],
    arithmetic: Arithmetic = .real
  ) throws {
    let values: NamedOrSingle<DecimalTensor> =
      switch box.boxes {
      case .single(let box): .single(box.lower)
      case .named(let boxes): .named(boxes.map { (name: $0.name, value: $0.value.lower) })
      }
    let corner = InputDocument(file: box.file, values: values)
    network = try ImportedNetwork.load(
      path, batch: batch, shapes: shapes, document: corner, arithmetic: arithmetic)
    inputs = try network.inputs(from: corner)
  }

  /// Checks that a region leaves alone the inputs whose values the shapes of the graph depend on.
  ///
  /// - Throws: `UnsupportedOperator` naming the input.
  public func checkBoundInputs(_ region: Region) throws {
    for (node, set) in zip(graph.inputNodes, region.inputs)
    where network.boundInputs.contains(node.name) && set.isPerturbed {
      throw UnsupportedOperator(
        node: node.name, operatorName: "input",
        reason: "shapes of the network depend on the value of this input, so it cannot be perturbed")
    }
  }

  /// Reads a network and values for its inputs: those of `input`, else the sample stored beside the network, else
  /// zeros.
  ///
  /// - Parameters:
  ///   - batch: extent of a dynamic leading dimension; 1 if nil.
  ///   - shapes: shapes of inputs with extents that the file leaves open, by name.
  ///   - arithmetic: what the network is read for (see `ImportOptions`).
  /// - Throws: `FileError`, `UnsupportedOperator`, `GraphError`.
  public init(
    network path: String, input: String? = nil, batch: Int? = nil, shapes: [String: Shape] = [:],
    arithmetic: Arithmetic = .real
  ) throws {
    var document: InputDocument?
    var source: NetworkInputs.Source?
    if let input {
      document = try InputDocument(contentsOf: input)
    } else if let sample = NetworkInputs.samplePath(beside: path) {
      document = try InputDocument(contentsOf: sample)
      source = .sample(sample)
    }
    network = try ImportedNetwork.load(
      path, batch: batch, shapes: shapes, document: document, arithmetic: arithmetic)
    if let document {
      inputs = try network.inputs(from: document, source: source)
    } else {
      inputs = NetworkInputs(zerosFor: network.graph)
    }
  }
}

extension ImportedNetwork {
  /// The values of a document; an error says which extents were assumed.
  func inputs(from document: InputDocument, source: NetworkInputs.Source? = nil) throws -> NetworkInputs {
    do {
      return try NetworkInputs(document, for: graph, source: source)
    } catch var error as FileError where !assumedExtents.isEmpty {
      error.reason += "; " + AssumedExtents.text(assumedExtents)
      throw error
    }
  }

  /// Reads a network, with extents that the file leaves open taken from `shapes` and the values of `document`.
  ///
  /// - Throws: what importers throw, and `FileError` for a shape of an input that the network does not have or that is
  ///   not the input's.
  public static func load(
    _ path: String, batch: Int? = nil, shapes: [String: Shape] = [:], document: InputDocument?,
    arithmetic: Arithmetic = .real
  ) throws -> ImportedNetwork {
    func unknown(_ name: String, _ names: [String]) -> FileError {
      let list = names.joined(separator: ", ")
      return FileError(
        file: path, reason: "a shape was given for '\(name)', which is no input; its inputs are \(list)")
    }
    // Misspelt names first: the file may not build without the shape that was meant.
    if !shapes.isEmpty, let names = try? OnnxImporter.inputNames(path: path),
      let name = shapes.keys.sorted().first(where: { !names.contains($0) })
    {
      throw unknown(name, names)
    }
    let network = try load(
      path, ImportOptions(batch: batch, shapes: shapes, arithmetic: arithmetic), document)
    for (name, shape) in shapes.sorted(by: { $0.key < $1.key }) {
      guard let node = network.graph.inputNodes.first(where: { $0.name == name }) else {
        throw unknown(name, network.graph.inputNodes.map(\.name))
      }
      guard node.shape == shape else {
        throw FileError(
          file: path, place: "input '\(name)'",
          reason: "has shape \(node.shape); the shape given for it is \(shape)")
      }
    }
    return network
  }

  private static func load(_ path: String, _ options: ImportOptions, _ document: InputDocument?) throws
    -> ImportedNetwork
  {
    guard let document else { return try Importer.load(path, options) }
    switch document.values {
    case .named(let entries):
      return try load(path, options, entries.map { ($0.name, $0.value) })
    case .single(let value):
      // The name is known only once the file is read; a second reading is needed only if the shape does not fit, or
      // what the file says cannot be built.
      let first: ImportedNetwork
      do {
        first = try Importer.load(path, options)
      } catch let open as UnsupportedOperator
        where open.operatorName == "InputLayer" && open.attribute == "batch_shape"
      {
        // An extent is open; the error names the input.
        return try load(path, options, [(open.node, value)])
      } catch {
        guard value.shape != nil, let name = try? OnnxImporter.inputNames(path: path), name.count == 1 else {
          throw error
        }
        return try load(path, options, [(name[0], value)])
      }
      guard let node = first.graph.inputNodes.first, first.graph.inputs.count == 1,
        node.shape.count != value.count
      else { return first }
      return try load(path, options, [(node.name, value)])
    }
  }

  private static func load(_ path: String, _ options: ImportOptions, _ named: [(String, DecimalTensor)])
    throws
    -> ImportedNetwork
  {
    var given = options
    for (name, value) in named {
      guard let shape = value.shape else { continue }
      given.values[name] = Tensor(shape, value.nearest)
    }
    if given.values.isEmpty { return try Importer.load(path, options) }
    do {
      return try Importer.load(path, given)
    } catch let failure as FileError {
      // The values may lack or add axes of extent 1: then what the file itself says decides. If they do not fit that
      // either, the failure says why.
      guard let plain = try? Importer.load(path, options),
        named.allSatisfy({ name, value in
          plain.graph.inputNodes.first { $0.name == name }.map { $0.shape.count == value.count } ?? true
        })
      else { throw failure }
      return plain
    }
  }
}
