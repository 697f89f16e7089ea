import { useEffect, useMemo } from "react";
import { Blocks } from "../blocks/Blocks";
import { useNewSurface } from "../blocks/surface";
import { appName } from "../state/messages";
import { openHome } from "../state/server";
import { useSnap } from "../state/store";
import type { View } from "../types";

function HomeView({ view }: { view: View }) {
  const origin = useMemo(() => ({ container: "home" as const, view_id: view.id }), [view.id]);
  return <Blocks blocks={view.blocks} surface={useNewSurface(origin, view.blocks)} />;
}

/** The app's Home tab, as it published it for this person. */
export function Home() {
  const snap = useSnap();
  const { homes, me } = snap;
  const view = homes[me];
  useEffect(() => {
    void openHome();
  }, [me]);
  return (
    <div
      className="home"
      data-testid="home"
      tabIndex={0}
      role="region"
      aria-label={`${appName(snap)}'s Home tab`}
    >
      <div className="home-content">
        {view ? (
          <HomeView view={view} />
        ) : (
          <p className="empty">{appName(snap)} has not put anything on its Home tab yet.</p>
        )}
      </div>
    </div>
  );
}
