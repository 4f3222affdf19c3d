/// What readers accept at most. Every size that a file announces is compared with this table before memory is taken;
/// docs/limits.md explains the entries.
public enum ReaderLimits {
  /// Bytes of a file, and of its contents after inflation, where nothing narrower is set.
  public static let fileBytes = 2 << 30
  /// Bytes of an input, box or rows document after inflation.
  public static let inputBytes = 1 << 26
  /// Bytes of a VNN-LIB query after inflation.
  public static let queryBytes = 1 << 30
  /// Bytes of an instance list, an edge list or a table after inflation.
  public static let tableBytes = 1 << 28

  /// Contents beyond `inflatedFloor` bytes must not be more than `inflationRatio` times the bytes they come from.
  public static let inflatedFloor = 64 << 20
  public static let inflationRatio = 200

  /// A JSON text may hold `jsonFloor` values, and beyond that `jsonValuesPerByte` for every byte of its file.
  public static let jsonFloor = 1 << 22
  public static let jsonValuesPerByte = 16
  /// Arrays and objects inside one another.
  public static let jsonDepth = 256

  /// Elements of an array in an HDF5 file.
  public static let arrayElements = 1 << 28
  /// Members of an HDF5 group, and strings of an attribute.
  public static let groupMembers = 100_000
  /// Bytes of the name of an HDF5 object.
  public static let nameBytes = 1024

  /// Elements of the tensors of one query together.
  public static let queryElements = 1 << 26
  /// Terms of one expression of a query.
  public static let queryTerms = 200_000
  /// Variables multiplied with one another in one term.
  public static let queryDegree = 64
  /// Bits of the numbers that expressions of a query compute.
  public static let queryNumberBits = 1 << 18
  /// Formulas and expressions of a query inside one another.
  public static let queryDepth = 1000

  /// Nodes of a graph, and of a graph after padding.
  public static let graphNodes = 10_000_000
  /// Nodes of a document that no edge names: a file pays no byte for them.
  public static let isolatedNodes = 100_000
  /// Feature entries of all graphs of a document.
  public static let featureEntries = 50_000_000
  /// Feature entries of a graph that a file describes by a rule (constant, one-hot) instead of listing them.
  public static let describedFeatureEntries = 10_000_000
  /// Nodes of a graph whose adjacency a network takes as a matrix.
  public static let denseGraphNodes = 5_000

  /// Layers, and neurons of a layer, of a `.nnet` file.
  public static let networkSize = 1 << 20
}
