// Written by Tests/Conformance/write_operator_types.py: operator, version since, the inputs' types or type
// variables (`*` for all that follow, `-` for anything), the variables' types as bits.
extension OnnxTypeConstraints {
  static let rows = """
    Abs 6 T T=ff7
    Abs 13 T T=fff
    Acos 7 T T=7
    Acos 22 T T=f
    Acosh 9 T T=7
    Acosh 22 T T=f
    Add 7 T,T T=cc7
    Add 13 T,T T=ccf
    Add 14 T,T T=fff
    AffineGrid 20 T1,T2 T1=f T2=80
    And 7 T,T T=1000
    ArgMax 1 T T=ff7
    ArgMax 13 T T=fff
    ArgMin 1 T T=ff7
    ArgMin 13 T T=fff
    Asin 7 T T=7
    Asin 22 T T=f
    Asinh 9 T T=7
    Asinh 22 T T=f
    Atan 7 T T=7
    Atan 22 T T=f
    Atanh 9 T T=7
    Atanh 22 T T=f
    Attention 23 T1,T1,T2,U,T1,T2 T1=f T2=f U=1fff
    Attention 24 T1,T1,T2,U,T1,T2,80 T1=f T2=f U=1fff
    AveragePool 7 T T=7
    AveragePool 22 T T=f
    BatchNormalization 7 T,T,T,T,T T=7
    BatchNormalization 14 T,T,T,U,U T=f U=f
    BatchNormalization 15 T,T1,T1,T2,T2 T=f T1=f T2=f
    Bernoulli 15 T1 T1=7
    Bernoulli 22 T1 T1=f
    BitCast 26 T1 T1=1fff
    BitShift 11 T,T T=f00
    BitShift 28 T,T T=ff0
    BitwiseAnd 18 T,T T=ff0
    BitwiseNot 18 T T=ff0
    BitwiseOr 18 T,T T=ff0
    BitwiseXor 18 T,T T=ff0
    BlackmanWindow 17 T1 T1=c0
    Cast 6 T1 T1=1ff7
    Cast 9 T1 T1=3ff7
    Cast 13 T1 T1=3fff
    CastLike 15 T1,T2 T1=3fff T2=3fff
    CausalConvWithState 27 T,T,T,T T=d
    Ceil 6 T T=7
    Ceil 13 T T=f
    Celu 12 T T=1
    Celu 28 T T=f
    CenterCropPad 18 T,Tind T=3fff Tind=c0
    Clip 6 T T=7
    Clip 11 T,T,T T=7
    Clip 12 T,T,T T=ff7
    Clip 13 T,T,T T=fff
    Col2Im 18 T,80,80 T=3fff
    Compress 9 T,T1 T=3ff7 T1=1000
    Compress 28 T,T1 T=3fff T1=1000
    Concat 4 T* T=3ff7
    Concat 13 T* T=3fff
    ConcatFromSequence 11 -
    Constant 1 -
    ConstantOfShape 9 T1 T1=80
    Conv 1 T,T,T T=7
    Conv 22 T,T,T T=f
    ConvInteger 10 T1,T2,T1,T2 T1=110 T2=110
    ConvTranspose 1 T,T,T T=7
    ConvTranspose 22 T,T,T T=f
    Cos 7 T T=7
    Cos 22 T T=f
    Cosh 9 T T=7
    Cosh 22 T T=f
    CumProd 26 T,T2 T=ccf T2=c0
    CumSum 11 T,T2 T=cc3 T2=c0
    CumSum 14 T,T2 T=ccf T2=c0
    DFT 17 T1,T2 T1=f T2=c0
    DFT 20 T1,T2,80 T1=f T2=c0
    DeformConv 19 T,T,T,T,T T=7
    DeformConv 22 T,T,T,T,T T=f
    DepthToSpace 1 T T=3ff7
    DepthToSpace 13 T T=3fff
    DequantizeLinear 10 T,1,T T=150
    DequantizeLinear 19 T1,T2,T1 T1=150 T2=d
    DequantizeLinear 21 T1,T2,T1 T1=370 T2=d
    Det 11 T T=7
    Det 22 T T=f
    Div 7 T,T T=cc7
    Div 13 T,T T=ccf
    Div 14 T,T T=fff
    Dropout 7 T T=7
    Dropout 12 T,T1,T2 T=7 T1=7 T2=1000
    Dropout 13 T,T1,T2 T=f T1=7 T2=1000
    Dropout 22 T,T1,T2 T=f T1=f T2=1000
    DynamicQuantizeLinear 11 T1 T1=1
    Einsum 12 T* T=ff7
    Einsum 28 T* T=fff
    Elu 6 T T=7
    Elu 22 T T=f
    Equal 7 T,T T=10c0
    Equal 11 T,T T=1ff7
    Equal 13 T,T T=1fff
    Equal 19 T,T T=3fff
    Erf 9 T T=ff7
    Erf 13 T T=f
    Exp 6 T T=7
    Exp 13 T T=f
    Expand 8 T,80 T=3ff7
    Expand 13 T,80 T=3fff
    EyeLike 9 T1 T1=1ff7
    EyeLike 22 T1 T1=1fff
    Flatten 1 T T=7
    Flatten 9 T T=3ff7
    Flatten 13 T T=3fff
    Floor 6 T T=7
    Floor 13 T T=f
    GRU 7 T,T,T,T,T1,T T=7 T1=40
    GRU 22 T,T,T,T,T1,T T=f T1=40
    Gather 1 T,Tind T=3ff7 Tind=c0
    Gather 13 T,Tind T=3fff Tind=c0
    GatherElements 11 T,Tind T=3ff7 Tind=c0
    GatherElements 13 T,Tind T=3fff Tind=c0
    GatherND 11 T,80 T=3ff7
    GatherND 13 T,80 T=3fff
    Gelu 20 T T=f
    Gemm 7 T,T,T T=7
    Gemm 9 T,T,T T=cc7
    Gemm 13 T,T,T T=ccf
    GlobalAveragePool 1 T T=7
    GlobalAveragePool 22 T T=f
    GlobalLpPool 2 T T=7
    GlobalLpPool 22 T T=f
    GlobalMaxPool 1 T T=7
    GlobalMaxPool 22 T T=f
    Greater 7 T,T T=7
    Greater 9 T,T T=ff7
    Greater 13 T,T T=fff
    GreaterOrEqual 12 T,T T=ff7
    GreaterOrEqual 16 T,T T=fff
    GridSample 16 T1,T2 T1=3ff7 T2=7
    GridSample 22 T1,T2 T1=3fff T2=f
    GroupNormalization 21 T,T,T T=f
    HammingWindow 17 T1 T1=c0
    HannWindow 17 T1 T1=c0
    HardSigmoid 6 T T=7
    HardSigmoid 22 T T=f
    HardSwish 14 T T=7
    HardSwish 22 T T=f
    Hardmax 1 T T=7
    Hardmax 13 T T=f
    Identity 1 T T=3ff7
    Identity 13 T T=3fff
    Identity 14 -
    If 1 B B=1000
    ImageDecoder 20 T1 T1=100
    InstanceNormalization 6 T,T,T T=7
    InstanceNormalization 22 T,T,T T=f
    IsInf 10 T1 T1=3
    IsInf 20 T1 T1=f
    IsNaN 9 T1 T1=7
    IsNaN 13 T1 T1=f
    LRN 1 T T=7
    LRN 13 T T=f
    LSTM 7 T,T,T,T,T1,T,T,T T=7 T1=40
    LSTM 22 T,T,T,T,T1,T,T,T T=f T1=40
    LayerNormalization 17 T,T,T T=f
    LeakyRelu 6 T T=7
    LeakyRelu 16 T T=f
    Less 7 T,T T=7
    Less 9 T,T T=ff7
    Less 13 T,T T=fff
    LessOrEqual 12 T,T T=ff7
    LessOrEqual 16 T,T T=fff
    LinearAttention 27 T,T,T,S,T,T S=d T=d
    Log 6 T T=7
    Log 13 T T=f
    LogSoftmax 1 T T=7
    LogSoftmax 13 T T=f
    Loop 1 I,B,-* B=1000 I=80 V=3ff7
    Loop 13 I,B,-* B=1000 I=80
    LpNormalization 1 T T=7
    LpNormalization 22 T T=f
    LpPool 2 T T=7
    LpPool 22 T T=f
    MatMul 1 T,T T=7
    MatMul 9 T,T T=cc7
    MatMul 13 T,T T=ccf
    MatMulInteger 10 T1,T2,T1,T2 T1=110 T2=110
    Max 6 T* T=7
    Max 12 T* T=ff7
    Max 13 T* T=fff
    MaxPool 1 T T=7
    MaxPool 12 T T=117
    MaxPool 22 T T=11f
    MaxRoiPool 1 T,T T=7
    MaxRoiPool 22 T,T T=f
    MaxUnpool 9 T1,T2,T2 T1=7 T2=80
    MaxUnpool 22 T1,T2,T2 T1=f T2=80
    Mean 6 T* T=7
    Mean 13 T* T=f
    MeanVarianceNormalization 9 T T=7
    MeanVarianceNormalization 13 T T=f
    MelWeightMatrix 17 T1,T1,T1,T2,T2 T1=c0 T2=f
    Min 6 T* T=7
    Min 12 T* T=ff7
    Min 13 T* T=fff
    Mish 18 T T=7
    Mish 22 T T=f
    Mod 10 T,T T=ff7
    Mod 13 T,T T=fff
    Mul 7 T,T T=cc7
    Mul 13 T,T T=ccf
    Mul 14 T,T T=fff
    Multinomial 7 T1 T1=7
    Multinomial 22 T1 T1=f
    Neg 6 T T=f7
    Neg 13 T T=ff
    NegativeLogLikelihoodLoss 12 T,Tind,T T=7 Tind=c0
    NegativeLogLikelihoodLoss 22 T,Tind,T T=f Tind=c0
    NonMaxSuppression 10 1,1,80,1,1
    NonZero 9 T T=3ff7
    NonZero 13 T T=3fff
    Not 1 T T=1000
    OneHot 9 T1,T2,T3 T1=ff7 T2=ff7 T3=3ff7
    OneHot 28 T1,T2,T3 T1=ff7 T2=ff7 T3=3fff
    Optional 15 -
    OptionalGetElement 15 -
    OptionalHasElement 15 -
    Or 7 T,T T=1000
    PRelu 7 T,T T=7
    PRelu 9 T,T T=cc7
    PRelu 16 T,T T=ccf
    Pad 2 T T=7
    Pad 11 T,80,T T=ff7
    Pad 13 T,80,T T=3fff
    Pad 18 T,80,T,Tind T=3fff Tind=c0
    Pow 7 T,T T=7
    Pow 12 T,T1 T=c7 T1=ff7
    Pow 13 T,T1 T=cf T1=ff7
    Pow 15 T,T1 T=cf T1=fff
    QLinearConv 10 T1,1,T1,T2,1,T2,1,T3,T4 T1=110 T2=110 T3=110 T4=40
    QLinearMatMul 10 T1,1,T1,T2,1,T2,1,T3 T1=110 T2=110 T3=110
    QLinearMatMul 21 T1,TS,T1,T2,TS,T2,TS,T3 T1=110 T2=110 T3=110 TS=d
    QuantizeLinear 10 T1,1,T2 T1=41 T2=110
    QuantizeLinear 19 T1,T1,T2 T1=4d T2=110
    QuantizeLinear 21 T1,T1,T2 T1=4d T2=330
    QuantizeLinear 23 T1,T2,T3 T1=4d T2=4d T3=330
    RMSNormalization 23 T,V T=f V=f
    RNN 7 T,T,T,T,T1,T T=7 T1=40
    RNN 22 T,T,T,T,T1,T T=f T1=40
    RandomNormal 1 -
    RandomNormalLike 1 T1 T1=3ff7
    RandomNormalLike 22 T1 T1=3fff
    RandomUniform 1 -
    RandomUniformLike 1 T1 T1=3ff7
    RandomUniformLike 22 T1 T1=3fff
    Range 11 T,T,T T=e3
    Range 27 T,T,T T=ef
    Reciprocal 6 T T=7
    Reciprocal 13 T T=f
    ReduceL1 1 T T=cc7
    ReduceL1 13 T T=ccf
    ReduceL1 18 T,80 T=ccf
    ReduceL2 1 T T=cc7
    ReduceL2 13 T T=ccf
    ReduceL2 18 T,80 T=ccf
    ReduceLogSum 1 T T=cc7
    ReduceLogSum 13 T T=ccf
    ReduceLogSum 18 T,80 T=ccf
    ReduceLogSum 28 T,80 T=f
    ReduceLogSumExp 1 T T=cc7
    ReduceLogSumExp 13 T T=ccf
    ReduceLogSumExp 18 T,80 T=ccf
    ReduceLogSumExp 28 T,80 T=f
    ReduceMax 1 T T=cc7
    ReduceMax 12 T T=dd7
    ReduceMax 13 T T=ddf
    ReduceMax 18 T,80 T=ddf
    ReduceMax 20 T,80 T=1ddf
    ReduceMean 1 T T=cc7
    ReduceMean 13 T T=ccf
    ReduceMean 18 T,80 T=ccf
    ReduceMin 1 T T=cc7
    ReduceMin 12 T T=dd7
    ReduceMin 13 T T=ddf
    ReduceMin 18 T,80 T=ddf
    ReduceMin 20 T,80 T=1ddf
    ReduceProd 1 T T=cc7
    ReduceProd 13 T T=ccf
    ReduceProd 18 T,80 T=ccf
    ReduceSum 1 T T=cc7
    ReduceSum 13 T,80 T=ccf
    ReduceSumSquare 1 T T=cc7
    ReduceSumSquare 13 T T=ccf
    ReduceSumSquare 18 T,80 T=ccf
    RegexFullMatch 20 T1 T1=2000
    Relu 6 T T=7
    Relu 13 T T=f
    Relu 14 T T=ff
    Reshape 5 T,80 T=3ff7
    Reshape 13 T,80 T=3fff
    Resize 10 T,1 T=3ff7
    Resize 11 T1,T2,1,80 T1=3ff7 T2=7
    Resize 13 T1,T2,1,80 T1=3fff T2=7
    ReverseSequence 10 T,80 T=3ff7
    ReverseSequence 28 T,80 T=3fff
    RoiAlign 10 T1,T1,T2 T1=7 T2=80
    RoiAlign 22 T1,T1,T2 T1=f T2=80
    RotaryEmbedding 23 T,T,T,M M=80 T=d
    Round 11 T T=7
    Round 22 T T=f
    STFT 17 T1,T2,T1,T2 T1=f T2=c0
    Scan 8 I,-* I=80 V=3ff7
    Scan 9 -* V=3ff7
    Scan 16 -* V=3fff
    Scatter 9 T,Tind,T T=3ff7 Tind=c0
    ScatterElements 11 T,Tind,T T=3ff7 Tind=c0
    ScatterElements 13 T,Tind,T T=3fff Tind=c0
    ScatterND 11 T,80,T T=3ff7
    ScatterND 13 T,80,T T=3fff
    Selu 6 T T=7
    Selu 22 T T=f
    SequenceAt 11 -,I I=c0
    SequenceConstruct 11 T* T=3ff7
    SequenceEmpty 11 -
    SequenceErase 11 -,I I=c0
    SequenceInsert 11 -,T,I I=c0 T=3ff7
    SequenceLength 11 -
    SequenceMap 17 -,-*
    Shape 1 T T=3ff7
    Shape 13 T T=3fff
    Shrink 9 T T=ff7
    Sigmoid 6 T T=7
    Sigmoid 13 T T=f
    Sign 9 T T=ff7
    Sign 13 T T=fff
    Sin 7 T T=7
    Sin 22 T T=f
    Sinh 9 T T=7
    Sinh 22 T T=f
    Size 1 T T=3ff7
    Size 13 T T=3fff
    Slice 1 T T=3ff7
    Slice 10 T,Tind,Tind,Tind,Tind T=3ff7 Tind=c0
    Slice 13 T,Tind,Tind,Tind,Tind T=3fff Tind=c0
    Softmax 1 T T=7
    Softmax 13 T T=f
    SoftmaxCrossEntropyLoss 12 T,Tind,T T=7 Tind=c0
    SoftmaxCrossEntropyLoss 13 T,Tind,T T=f Tind=c0
    Softplus 1 T T=7
    Softplus 22 T T=f
    Softsign 1 T T=7
    Softsign 22 T T=f
    SpaceToDepth 1 T T=3ff7
    SpaceToDepth 13 T T=3fff
    Split 2 T T=3ff7
    Split 13 T,80 T=3fff
    SplitToSequence 11 T,I I=c0 T=3ff7
    SplitToSequence 24 T,I I=c0 T=3fff
    Sqrt 6 T T=7
    Sqrt 13 T T=f
    Squeeze 1 T T=3ff7
    Squeeze 13 T,80 T=3fff
    StringConcat 20 T,T T=2000
    StringNormalizer 10 2000
    StringSplit 20 T1 T1=2000
    Sub 7 T,T T=cc7
    Sub 13 T,T T=ccf
    Sub 14 T,T T=fff
    Sum 6 T* T=7
    Sum 13 T* T=f
    SwiGLU 28 T,T T=f
    Swish 24 T T=f
    Tan 7 T T=7
    Tan 22 T T=f
    Tanh 6 T T=7
    Tanh 13 T T=f
    TensorScatter 24 T,T,80 T=3fff
    TfIdfVectorizer 9 T T=20c0
    ThresholdedRelu 10 T T=7
    ThresholdedRelu 22 T T=f
    Tile 6 T,T1 T=3ff7 T1=80
    Tile 13 T,T1 T=3fff T1=80
    TopK 1 T T=7
    TopK 10 T,80 T=7
    TopK 11 T,80 T=ff7
    TopK 24 T,80 T=fff
    Transpose 1 T T=3ff7
    Transpose 13 T T=3fff
    Trilu 14 T,80 T=3fff
    Unique 11 T T=3ff7
    Unique 28 T T=3fff
    Unsqueeze 1 T T=3ff7
    Unsqueeze 13 T,80 T=3fff
    Upsample 7 T T=3ff7
    Upsample 9 T,1 T=3ff7
    Where 9 B,T,T B=1000 T=3ff7
    Where 16 B,T,T B=1000 T=3fff
    Xor 7 T,T T=1000
    ai.onnx.ml::ArrayFeatureExtractor 1 T,80 T=20c3
    ai.onnx.ml::Binarizer 1 T T=c3
    ai.onnx.ml::CastMap 1 -
    ai.onnx.ml::CategoryMapper 1 T1 T1=2080
    ai.onnx.ml::DictVectorizer 1 -
    ai.onnx.ml::FeatureVectorizer 1 T1* T1=c3
    ai.onnx.ml::Imputer 1 T T=c3
    ai.onnx.ml::LabelEncoder 1 T1 T1=2080
    ai.onnx.ml::LabelEncoder 2 T1 T1=2081
    ai.onnx.ml::LabelEncoder 4 T1 T1=20e3
    ai.onnx.ml::LinearClassifier 1 T1 T1=c3
    ai.onnx.ml::LinearRegressor 1 T T=c3
    ai.onnx.ml::Normalizer 1 T T=c3
    ai.onnx.ml::OneHotEncoder 1 T T=20c3
    ai.onnx.ml::SVMClassifier 1 T1 T1=c3
    ai.onnx.ml::SVMRegressor 1 T T=c3
    ai.onnx.ml::Scaler 1 T T=c3
    ai.onnx.ml::TreeEnsemble 5 T T=7
    ai.onnx.ml::TreeEnsembleClassifier 1 T1 T1=c3
    ai.onnx.ml::TreeEnsembleRegressor 1 T T=c3
    ai.onnx.ml::ZipMap 1 1
    ai.onnx.preview::FlexAttention 1 T1,T1,T1 T1=f
    """
}
