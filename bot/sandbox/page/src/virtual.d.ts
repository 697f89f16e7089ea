declare module "virtual:emoji" {
  const words: string;
  export default words;
}
