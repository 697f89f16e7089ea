import { createRoot } from "react-dom/client";
import { App } from "./shell/App";
import { run } from "./state/server";
import "./page.css";

const root = document.getElementById("root");
if (root) createRoot(root).render(<App />);
void run();
